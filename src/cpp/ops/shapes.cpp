// Output sizes, and the checks that memory safety rests on: whoever multiplies the sizes of a shape need not fear an
// overflow.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "ops/conv2d.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::ops {
namespace {

// Every element count, and every sum of a position and an extent, stays below this.
constexpr index_t largest = index_t{1} << 60;
constexpr index_t most_taps = std::numeric_limits<std::int32_t>::max();

std::string text(const char* part) { return part; }
std::string text(index_t part) { return std::to_string(part); }

// The rule is put together only for those who break it: it would take longer than a small convolution.
template <class... Parts>
void require(bool condition, Parts... rule) {
    if (!condition) throw std::invalid_argument((text(rule) + ...));
}

index_t product(std::initializer_list<index_t> factors, const char* what) {
    index_t result = 1;
    for (const index_t factor : factors) {
        require(factor >= 0, what, ": sizes must not be negative, received ", factor);
        if (factor == 0) return 0;
    }
    for (const index_t factor : factors) {
        require(result <= largest / factor, what, ": too many elements");
        result *= factor;
    }
    return result;
}

struct Window {
    const char* axis;
    index_t size, stride, dilation, pad_before, pad_after;
};

// The extent of a dilated window; all parts are within [1, largest] or [0, largest].
index_t extent(const Window& w) {
    require(w.size >= 1 && w.size <= largest, w.axis, " window size must be at least 1, received ", w.size);
    require(w.stride >= 1 && w.stride <= largest, w.axis, " stride must be at least 1, received ", w.stride);
    require(w.dilation >= 1 && w.dilation <= largest, w.axis, " dilation must be at least 1, received ", w.dilation);
    require(w.pad_before >= 0 && w.pad_before <= largest && w.pad_after >= 0 && w.pad_after <= largest, w.axis,
            " padding must not be negative, received (", w.pad_before, ", ", w.pad_after, ")");
    require(w.size == 1 || w.dilation <= largest / (w.size - 1), w.axis, " window is too large");
    return w.dilation * (w.size - 1) + 1;
}

index_t padded_length(index_t in, const Window& w) {
    require(in >= 0 && in <= largest, w.axis, " size must not be negative, received ", in);
    return in + w.pad_before + w.pad_after;
}

index_t windows(index_t in, const Window& w) {
    const index_t reach = extent(w), padded = padded_length(in, w);
    require(padded >= reach, w.axis, " window must fit the padded input, expected at most ", padded, ", received ",
            reach);
    return (padded - reach) / w.stride + 1;
}

}  // namespace

double Conv2dShape::multiplications() const {
    return static_cast<double>(output_size()) * static_cast<double>(kernel_height) *
           static_cast<double>(kernel_width) * static_cast<double>(group_in_channels());
}

Conv2dShape conv2d_shape(const Conv2dGeometry& geometry, index_t batch, index_t in_height, index_t in_width,
                         index_t in_channels, index_t kernel_height, index_t kernel_width, index_t out_channels) {
    const Window vertical{"vertical",       kernel_height,      geometry.stride_height, geometry.dilation_height,
                          geometry.pad_top, geometry.pad_bottom};
    const Window horizontal{"horizontal",      kernel_width,      geometry.stride_width, geometry.dilation_width,
                            geometry.pad_left, geometry.pad_right};
    require(geometry.groups >= 1, "groups must be at least 1, received ", geometry.groups);
    require(in_channels >= 0 && out_channels >= 0, "channels must not be negative");
    require(in_channels % geometry.groups == 0, "input channels must be divisible by groups");
    require(out_channels % geometry.groups == 0, "output channels must be divisible by groups");
    Conv2dShape shape{geometry,
                      batch,
                      in_height,
                      in_width,
                      in_channels,
                      kernel_height,
                      kernel_width,
                      out_channels,
                      windows(in_height, vertical),
                      windows(in_width, horizontal)};
    product({batch, in_height, in_width, in_channels}, "input");
    product({kernel_height, kernel_width, in_channels / geometry.groups, out_channels}, "kernel");
    product({batch, shape.out_height, shape.out_width, out_channels}, "output");
    // Offsets of taps that lie in the padding are formed too, though never read.
    product({extent(vertical) + geometry.pad_top, in_width + 1, in_channels + 1}, "window");
    product({extent(horizontal) + geometry.pad_left, in_channels + 1}, "window");
    product({extent(vertical) + geometry.pad_bottom, shape.out_width + 1, out_channels + 1}, "window");
    product({extent(horizontal) + geometry.pad_right, out_channels + 1}, "window");
    return shape;
}

Pool2dShape pool2d_shape(const Pool2dGeometry& geometry, index_t batch, index_t in_height, index_t in_width,
                         index_t channels) {
    const Window vertical{"vertical",       geometry.pool_height, geometry.stride_height, geometry.dilation_height,
                          geometry.pad_top, geometry.pad_bottom};
    const Window horizontal{"horizontal",      geometry.pool_width, geometry.stride_width, geometry.dilation_width,
                            geometry.pad_left, geometry.pad_right};
    const Pool2dShape shape{
        geometry,
        {batch, in_height, in_width, channels, windows(in_height, vertical), windows(in_width, horizontal)}};
    product({batch, in_height, in_width, channels}, "input");
    product({batch, shape.out_height, shape.out_width, channels}, "output");
    product({extent(vertical) + geometry.pad_top, in_width + 1, channels + 1}, "window");
    require(geometry.pool_height <= most_taps / geometry.pool_width, "window has too many taps");
    return shape;
}

}  // namespace fastconv::ops
