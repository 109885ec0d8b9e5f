#include "ops/axis.hpp"

#include <algorithm>

namespace fastconv::ops {
namespace {

index_t floor_division(index_t a, index_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

}  // namespace

Axis forward_axis(index_t in_length, index_t out_length, index_t kernel, index_t stride, index_t dilation,
                  index_t pad_before) {
    Axis axis{out_length, 0, 1, in_length, stride, {}};
    const index_t lowest = -((out_length - 1) * stride), highest = in_length - 1;
    const index_t first = std::max<index_t>(0, -floor_division(-(lowest + pad_before), dilation));
    const index_t last = std::min(kernel - 1, floor_division(highest + pad_before, dilation));
    axis.taps.reserve(static_cast<std::size_t>(std::max<index_t>(0, last - first + 1)));
    for (index_t r = first; r <= last; ++r) axis.taps.push_back({r, r * dilation - pad_before});
    return axis;
}

Axis gradient_axis(index_t in_length, index_t out_length, index_t kernel, index_t stride, index_t dilation,
                   index_t pad_before, index_t residue) {
    Axis axis{residue < in_length ? (in_length - residue - 1) / stride + 1 : 0, residue, stride, out_length, 1, {}};
    const index_t lowest = -((axis.length - 1) * stride), highest = (out_length - 1) * stride;
    const index_t near = residue + pad_before;
    const index_t first = std::max<index_t>(0, -floor_division(highest - near, dilation));
    const index_t last = std::min(kernel - 1, floor_division(near - lowest, dilation));
    // Input h = residue + t * stride is read by output p at tap r where h = p * stride + r * dilation - pad_before.
    for (index_t r = last; r >= first; --r) {
        const index_t distance = near - r * dilation;
        if (distance % stride == 0) axis.taps.push_back({r, distance / stride});
    }
    return axis;
}

std::vector<Segment> segments(const Axis& axis) {
    const index_t taps = static_cast<index_t>(axis.taps.size());
    // Most images have no padding, and the smallest are done in less time than the cuts take.
    if (taps > 0 && axis.length > 0 && axis.taps.front().offset >= 0 &&
        (axis.length - 1) * axis.in_step + axis.taps.back().offset < axis.in_length)
        return {{0, axis.length, 0, taps}};
    // Tap i is inside for t in [enter, leave): both decrease as the offset grows.
    const auto first_t_reaching = [&](index_t position, index_t offset) {
        const index_t needed = position - offset;
        return needed <= 0 ? index_t{0} : std::min(axis.length, pieces(needed, axis.in_step));
    };
    std::vector<index_t> cuts;
    cuts.reserve(2 * axis.taps.size() + 2);
    cuts.push_back(0);
    cuts.push_back(axis.length);
    for (const Tap& tap : axis.taps) {
        cuts.push_back(first_t_reaching(0, tap.offset));
        cuts.push_back(first_t_reaching(axis.in_length, tap.offset));
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());

    std::vector<Segment> result;
    result.reserve(cuts.size());
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
        const index_t position = cuts[i] * axis.in_step;
        index_t first = 0, last = taps;
        while (first < last && position + axis.taps[first].offset < 0) ++first;
        while (last > first && position + axis.taps[last - 1].offset >= axis.in_length) --last;
        result.push_back({cuts[i], cuts[i + 1], first, last});
    }
    return result;
}

Range outputs_reading(index_t offset, index_t in_length, index_t out_length, index_t stride) {
    const index_t begin = offset >= 0 ? 0 : pieces(-offset, stride);
    const index_t end = offset >= in_length ? 0 : (in_length - 1 - offset) / stride + 1;
    return overlap({0, out_length}, {begin, end});
}

}  // namespace fastconv::ops
