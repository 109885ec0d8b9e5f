#include "ops/gradient_strips.hpp"

#include <algorithm>

namespace fastconv::ops {

GradientStrips::GradientStrips(const Pool2dShape& s) : shape_(s), row_size_(s.in_width * s.channels) {
    rows_.resize(static_cast<std::size_t>(s.in_height));
    const index_t c = s.channels;
    if (s.out_height == 1 && s.out_width == 1 && s.pad_top == 0 && s.pad_left == 0 && s.dilation_height == 1 &&
        s.dilation_width == 1 && s.pool_height >= s.in_height && s.pool_width >= s.in_width) {
        // Global pooling: every pixel reads the same window.
        offsets_.push_back(0);
        pieces_.push_back({{0, 0, 0, c, s.in_width, nullptr, 1}, 0});
        std::fill(rows_.begin(), rows_.end(), Row{0, 1, 0});
        return;
    }
    struct Columns {
        Axis axis;
        std::vector<Segment> segments;
    };
    std::vector<Columns> columns;
    for (index_t j = 0; j < std::min(s.stride_width, s.in_width); ++j) {
        Axis axis =
            gradient_axis(s.in_width, s.out_width, s.pool_width, s.stride_width, s.dilation_width, s.pad_left, j);
        std::vector<Segment> cut = segments(axis);
        columns.push_back({std::move(axis), std::move(cut)});
    }
    for (index_t i = 0; i < std::min(s.stride_height, s.in_height); ++i) {
        const Axis rows =
            gradient_axis(s.in_height, s.out_height, s.pool_height, s.stride_height, s.dilation_height, s.pad_top, i);
        for (const Segment& r : segments(rows)) {
            const auto first = static_cast<index_t>(pieces_.size());
            for (const auto& [axis, cut] : columns) {
                for (const Segment& q : cut) {
                    const index_t windows = (r.last_tap - r.first_tap) * (q.last_tap - q.first_tap);
                    const GradientStrip strip{q.begin * c,
                                              c,
                                              (axis.out_start + q.begin * s.stride_width) * c,
                                              s.stride_width * c,
                                              q.end - q.begin,
                                              nullptr,
                                              windows};
                    pieces_.push_back({strip, offsets_.size()});
                    for (index_t y = r.first_tap; y < r.last_tap; ++y)
                        for (index_t x = q.first_tap; x < q.last_tap; ++x)
                            offsets_.push_back((rows.taps[static_cast<std::size_t>(y)].offset * s.out_width +
                                                axis.taps[static_cast<std::size_t>(x)].offset) *
                                               c);
                }
            }
            const auto last = static_cast<index_t>(pieces_.size());
            for (index_t t = r.begin; t < r.end; ++t)
                rows_[static_cast<std::size_t>(i + t * s.stride_height)] = {first, last, t * s.out_width * c};
        }
    }
}

Range GradientStrips::windows_of(Range rows) const {
    const Pool2dShape& s = shape_;
    // Window i covers the rows from i * stride - pad on, as far as the reach of the window.
    const index_t reach = (s.pool_height - 1) * s.dilation_height;
    const index_t first = rows.begin + s.pad_top - reach, last = rows.end - 1 + s.pad_top;
    const index_t begin = first <= 0 ? 0 : (first + s.stride_height - 1) / s.stride_height;
    const index_t end = last < 0 ? 0 : std::min(s.out_height, last / s.stride_height + 1);
    return {std::min(begin, end), end};
}

}  // namespace fastconv::ops
