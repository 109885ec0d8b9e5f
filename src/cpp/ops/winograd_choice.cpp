#include "ops/winograd_choice.hpp"

#include <algorithm>

#include "dispatch/kernels.hpp"
#include "ops/winograd.hpp"
#include "runtime/settings.hpp"

namespace fastconv::ops {
namespace {

// Times as fast as direct sums: their products for an image over 16 products a tile, to which the transforms add as
// much as `transform_cost` more channels on the other side would, and the sums of the kernel gradient, which are
// stored and transformed once, as much as `sums_cost` tiles. Measured on Zen 4, 1 thread, float32, batch 128 to 8 or
// as said:
//
//   forward         channels    padding  AVX-512  AVX2  x86-64-v2  expected
//   13x13            8 ->   8   valid       -     0.87    1.02       0.84
//   13x13           16 ->  16   valid     1.15    1.14    1.29       1.16
//   13x13           32 ->  32   valid     1.44    1.82    1.95       1.44
//   4x4             32 ->  32   same      1.21    1.24    1.33       1.19
//   7x7            128 -> 128   same      1.29    1.24    1.33       1.31
//   3x3             64 ->  64   same      0.69     -       -         0.66
//   input gradient
//   13x13           16 ->  16   valid     0.90    0.94     -         0.85
//   13x13           32 ->  64   valid     1.14    1.28     -         1.13
//   5x5             32 ->  32   valid     0.50    0.54     -         0.43
//   28x28           16 ->  64   same      1.54    1.47     -         1.54
//   kernel gradient
//   13x13           16 ->  16   valid     1.30    1.18    1.49       1.16
//   13x13           32 ->  64   valid     1.51    1.78    1.77       1.53
//   4x4             32 ->  32   same      1.35    1.55    1.54       1.18
//   14x14, batch 1 512 -> 512   same      1.68    2.13    2.11       1.73
//   7x7, batch 1   512 -> 512   same      0.96     -       -         0.93
//
// (Forward from 16 channels on, and input gradient, on AVX2 and x86-64-v2: 2 threads. float64 is like float32.)
// Shapes for which both would be alike are left to the direct sum.
constexpr double transform_cost = 5, sums_cost = 8, enough = 1.1;

// Pairs of an output and a tap along one axis that lie inside the image: what a direct sum computes.
index_t taps_inside(index_t in_length, index_t out_length, index_t pad) {
    index_t count = 0;
    for (index_t offset = -pad; offset < 3 - pad; ++offset)
        count += std::max<index_t>(0, std::min(out_length, in_length - offset) - std::max<index_t>(0, -offset));
    return count;
}

double expected_gain(const Conv2dShape& s, Direction direction) {
    const double direct = static_cast<double>(taps_inside(s.in_height, s.out_height, s.pad_top)) *
                          static_cast<double>(taps_inside(s.in_width, s.out_width, s.pad_left));
    const TileGrid grid = direction == Direction::input_gradient ? TileGrid::of(s.in_height, s.in_width)
                                                                 : TileGrid::of(s.out_height, s.out_width);
    double transforms = transform_cost / static_cast<double>(s.group_in_channels()) +
                        transform_cost / static_cast<double>(s.group_out_channels());
    if (direction == Direction::kernel_gradient)
        transforms += sums_cost / static_cast<double>(std::max<index_t>(1, s.batch) * grid.per_image());
    return direct / (16 * static_cast<double>(grid.per_image()) * (1 + transforms));
}

}  // namespace

template <class T>
bool winograd_pays(const Conv2dShape& s, Direction direction) {
    const index_t lanes = dispatch::active<T>().lanes;
    const index_t channels = s.group_in_channels(), filters = s.group_out_channels();
    const bool served = s.kernel_height == 3 && s.kernel_width == 3 && s.stride_height == 1 && s.stride_width == 1 &&
                        s.dilation_height == 1 && s.dilation_width == 1 && channels > 0 && channels % lanes == 0 &&
                        filters > 0 && filters % lanes == 0;
    return served && runtime::precision() != runtime::Precision::strict && expected_gain(s, direction) >= enough;
}

template bool winograd_pays<float>(const Conv2dShape&, Direction);
template bool winograd_pays<double>(const Conv2dShape&, Direction);

}  // namespace fastconv::ops
