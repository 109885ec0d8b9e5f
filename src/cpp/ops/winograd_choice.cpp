#include "ops/winograd_choice.hpp"

#include <algorithm>

#include "dispatch/kernels.hpp"
#include "ops/winograd.hpp"
#include "runtime/settings.hpp"

namespace fastconv::ops {
namespace {

// Times as fast as direct sums: their products for an image over those of its tiles, 16 each for a 3x3 kernel, to
// which the transforms add as much as `transform_cost` more channels on the other side would, and the sums of the
// kernel gradient, which are stored and transformed once, as much as `sums_cost` tiles. Measured on Zen 4, 1 thread,
// float32, batch 128 to 8 or as said:
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
//   larger kernels, forward, input gradient, kernel gradient (1 thread)
//   27x27 5x5, batch 8 in 2 groups 48 -> 128   1.56 1.45 1.40   1.48 1.36 1.41   1.62 1.54 1.65   1.46 1.46 1.45
//   27x27 5x5, batch 1 in 2 groups 48 -> 128   1.50 1.33 1.18   1.35 1.28 1.30   1.40 1.41 1.50   1.46 1.46 1.41
//   14x14 5x5                      32 ->  64   1.50 1.32 1.26   1.41 1.19 1.25   1.48 1.43 1.59   1.31 1.31 1.30
//   10x10 5x5 valid                16 ->  16   1.28  -   1.17   1.24  -   1.22   1.42  -   1.59   1.12  -   1.11
//   56x56 5x5                      64 ->  64   1.66 1.68 1.47   1.63 1.55 2.01   1.87 2.05 1.73   1.62 1.62 1.62
//   28x28 7x7                      64 ->  64   1.36 1.32 1.04   1.25 1.26 1.37   1.33 1.31 1.42   1.20 1.20 1.20
//   28x28 11x11                    32 ->  32   1.59 1.50 1.36   1.17 1.17 1.53   1.44 1.43 1.49   1.29 1.29 1.28
//   17x17 6x6                     128 -> 128   1.75 1.49 1.52   1.67 1.39 1.96   2.01 1.35 2.20   1.83 1.45 1.81
//
// (Forward from 16 channels on, and input gradient, on AVX2 and x86-64-v2: 2 threads. float64 is like float32.)
// Shapes for which both would be alike are left to the direct sum.
constexpr double transform_cost = 5, sums_cost = 8, enough = 1.1;

// Pairs of an output and a tap along one axis that lie inside the image: what a direct sum computes.
index_t taps_inside(index_t in_length, index_t out_length, index_t kernel, index_t pad) {
    index_t count = 0;
    for (index_t offset = -pad; offset < kernel - pad; ++offset)
        count += std::max<index_t>(0, std::min(out_length, in_length - offset) - std::max<index_t>(0, -offset));
    return count;
}

// Products of direct sums for an image.
double direct_products(const Conv2dShape& s) {
    return static_cast<double>(taps_inside(s.in_height, s.out_height, s.kernel_height, s.pad_top)) *
           static_cast<double>(taps_inside(s.in_width, s.out_width, s.kernel_width, s.pad_left));
}

double sums_share(const Conv2dShape& s, Direction direction, const TileGrid& grid) {
    if (direction != Direction::kernel_gradient) return 0;
    return sums_cost / static_cast<double>(std::max<index_t>(1, s.batch) * grid.per_image());
}

TileGrid grid_of(const Conv2dShape& s, Direction direction, index_t outputs) {
    return direction == Direction::input_gradient ? TileGrid::of(s.in_height, s.in_width, outputs)
                                                  : TileGrid::of(s.out_height, s.out_width, outputs);
}

// Products along one axis, where a kernel's last one or two taps take three.
index_t products_of(index_t kernel) { return kernel / 3 * 4 + (kernel % 3 == 0 ? 0 : 3); }

double expected_gain(const Conv2dShape& s, Direction direction) {
    const TileGrid grid = grid_of(s, direction, 2);
    const auto products = static_cast<double>(products_of(s.kernel_height) * products_of(s.kernel_width));
    const auto transformed = static_cast<double>(16 * pieces(s.kernel_height, 3) * pieces(s.kernel_width, 3));
    const double transforms = (transform_cost / static_cast<double>(s.group_in_channels()) +
                               transform_cost / static_cast<double>(s.group_out_channels())) *
                                  transformed / products +
                              sums_share(s, direction, grid);
    return direct_products(s) / (products * static_cast<double>(grid.per_image()) * (1 + transforms));
}

// The same for 4x4 outputs, whose 36 products a tile take less of the time, so that the transforms take more of it;
// the weights, more than twice as many of them, cost as much as `large_weights_cost` tiles. Forward, times as fast as
// 2x2 outputs (batch 128 to 8, then 1; 1 thread, float32; the last two are not chosen):
//
//                            AVX-512      AVX2         x86-64-v2    expected
//   13x13   16 ->  16 valid  1.47  -      1.36  -      1.44  -      1.23
//   13x13   32 ->  32 valid  1.50  -      1.29  -      1.37  -      1.31
//   32x32   32 ->  32 same    -   1.50     -   1.43     -   1.52    1.46
//   8x8     64 ->  64 same   1.50 1.12    1.43 0.95    1.55 1.12    1.15
//   14x14   64 ->  64 same   1.14 1.06    1.17 1.03    1.19 1.14    1.12
//   56x56   64 ->  64 same   1.49  -      1.45  -      1.55  -      1.59
//   28x28  128 -> 128 same   1.54  -      1.45  -      1.62  -      1.62
//   14x14  256 -> 256 same   1.17 1.09    0.96 0.99    1.13 1.07    1.18
//   7x7    512 -> 512 same   1.44 1.11    1.64 1.03    1.63 1.14    1.18
//   28x28  512 -> 512 same    -   1.40     -   1.71     -   1.61    1.68
//   10x10  128 -> 128 same    -   0.91     -   0.84     -   0.98    0.98
//   6x6     64 ->  64 same   0.90  -      0.89  -      0.96  -      0.65
constexpr double large_transform_cost = 9, large_weights_cost = 2;

double expected_gain_of_large_tiles(const Conv2dShape& s, Direction direction) {
    const double tiles = static_cast<double>(grid_of(s, direction, 4).per_image());
    const double transforms = large_transform_cost / static_cast<double>(s.group_in_channels()) +
                              large_transform_cost / static_cast<double>(s.group_out_channels());
    return direct_products(s) / (36 * (tiles * (1 + transforms) + large_weights_cost));
}

// Of few channels, whose transforms of inputs cost as much as the products for `few_transform_cost` filters, and a
// row of tiles, wherever it begins anew, as `few_row_cost` tiles. Times as fast as direct sums, as above (2x2 pooling
// behind; batch 128 to 2):
//
//                                AVX-512               expected  x86-64-v2             expected
//                          forward  pooled  gradient             forward  pooled  gradient
//   26x26     1 -> 32        1.4     1.6      1.5        1.53      1.3     1.2      1.2      1.16
//   32x32     3 -> 32        1.2     1.75     1.45       1.48      1.05    1.15     1.35     1.13
//   224x224   3 -> 64        1.15    1.9      1.1        1.79      1.25    1.3      1.4      1.37
//   14x14     3 -> 64        1.5     1.7      1.45       1.65      1.3     1.25     1.35     1.26
//   14x14     1 -> 16        1.45    1.25     1.35       1.21      1.0     0.95     0.75     0.92
//   9x9       3 -> 64        1.25    1.75     0.85       1.29      1.0     1.3      0.95     0.98
//   8x8       3 -> 16        1.1     1.2      0.95       1.15      0.95    0.95     0.8      0.88
//   4x4       3 -> 16        0.85    0.9      0.85       1.04      0.8     0.8      0.7      0.79
//
// (Large results of few channels are bound by memory. With AVX2 the gradient is much like x86-64-v2's; the others are
// faster of one channel alone: winograd_few_forward.)
constexpr double few_transform_cost = 10, few_row_cost = 0.8;
constexpr double few_gain = 2.1, few_gain_of_16_registers = 1.6;  // of the products, all tiles used

double expected_gain_of_few(const Conv2dShape& s, Direction direction, bool many_registers) {
    const TileGrid grid = TileGrid::of(s.out_height, s.out_width);
    const double used = direct_products(s) / (36 * static_cast<double>(grid.per_image()));
    const double cost = 1 + few_transform_cost / static_cast<double>(s.out_channels) +
                        few_row_cost / static_cast<double>(grid.columns) + sums_share(s, direction, grid);
    return (many_registers ? few_gain : few_gain_of_16_registers) * used / cost;
}

// The input gradient of few channels beside one product for each tap, 1 thread, batch 16 (the largest: 2) and 1:
//
//                          AVX-512        AVX2         x86-64-v2
//   28x28     1 -> 64   1.31   1.15    1.18   1.11    1.35   1.24
//   28x28     1 -> 16   1.16   0.99    1.51   1.15    1.38   1.28
//   32x32     3 -> 32   1.63   1.30    1.35   1.27    2.03   1.68
//   32x32     4 -> 32   1.20   1.22    1.30   1.13    1.31   1.27
//   224x224   3 -> 64   1.21   1.39    1.10   1.27    2.42   2.44
//   14x14     3 -> 64   1.41   1.01    1.01   0.85    1.58   1.39
//   14x14     1 -> 16   1.10   0.89    1.11   0.91    1.30   0.99
//   9x9       3 -> 64   1.28   0.84    0.88   0.75    1.16   1.14
//   8x8       1 -> 64   0.84   0.81    0.66   0.79    0.87   0.83
//
// Stride 2, AVX-512 alone, batch 8 (the first: 2) and 1: 224x224x3 -> 32 1.25 1.16; 64x64x4 -> 64 1.12 1.00;
// 64x64x3 -> 32 1.04 0.97; 64x64x3 -> 16 1.00 0.91; 64x64x1 -> 32 1.00 0.98.
constexpr index_t fewest_tiles_of_input_gradient = 100, fewest_tiles_of_strides = 1000;

template <class T>
bool is_served(const Conv2dShape& s) {
    const index_t lanes = dispatch::active<T>().lanes, filters = s.group_out_channels();
    return s.dilation_height == 1 && s.dilation_width == 1 && s.group_in_channels() > 0 && filters > 0 &&
           filters % lanes == 0 && runtime::precision() != runtime::Precision::strict;
}

bool has_unit_strides(const Conv2dShape& s) { return s.stride_height == 1 && s.stride_width == 1; }
bool is_3x3(const Conv2dShape& s) { return s.kernel_height == 3 && s.kernel_width == 3; }

// The entries of strides need 32 registers.
template <class T>
bool input_gradient_of_few_pays(const Conv2dShape& s, bool many_registers) {
    return is_served<T>(s) && is_3x3(s) && s.groups == 1 && s.in_channels <= kernels::few_channels &&
           s.stride_height == s.stride_width && s.stride_height <= (many_registers ? 2 : 1) &&
           TileGrid::of(s.out_height, s.out_width).per_image() >=
               (s.stride_height == 1 ? fewest_tiles_of_input_gradient : fewest_tiles_of_strides);
}

}  // namespace

template <class T>
index_t winograd_outputs(const Conv2dShape& s, Direction direction) {
    if (!is_served<T>(s) || !has_unit_strides(s) || std::min(s.kernel_height, s.kernel_width) < 3 ||
        s.group_in_channels() % dispatch::active<T>().lanes != 0 ||
        pieces(s.kernel_height, 3) * pieces(s.kernel_width, 3) > most_kernel_parts)
        return 0;
    const double gain = expected_gain(s, direction);
    if (is_3x3(s) && runtime::precision() == runtime::Precision::fast && direction != Direction::kernel_gradient &&
        expected_gain_of_large_tiles(s, direction) >= enough * std::max(1.0, gain))
        return 4;
    return gain >= enough ? 2 : 0;
}

template <class T>
bool winograd_few_pays(const Conv2dShape& s, Direction direction) {
    const auto& kernels = dispatch::active<T>();
    const bool many_registers = kernels.winograd_conv_pool != nullptr;
    if (direction == Direction::input_gradient) return input_gradient_of_few_pays<T>(s, many_registers);
    if (!is_served<T>(s) || !has_unit_strides(s) || !is_3x3(s) || s.groups > 1) return false;
    const int most = direction == Direction::forward ? kernels.winograd_few_forward : kernels::few_channels;
    return s.in_channels <= most && expected_gain_of_few(s, direction, many_registers) >= enough;
}

template index_t winograd_outputs<float>(const Conv2dShape&, Direction);
template index_t winograd_outputs<double>(const Conv2dShape&, Direction);
template bool winograd_few_pays<float>(const Conv2dShape&, Direction);
template bool winograd_few_pays<double>(const Conv2dShape&, Direction);

}  // namespace fastconv::ops
