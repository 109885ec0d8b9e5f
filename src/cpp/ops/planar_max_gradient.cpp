// The gradient of max pooling in NCHW, scattered plane by plane.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "ops/gradient_strips.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::ops {

template <class T>
bool planar_max_pool2d_gradient(const PoolSizes& s, const T* grad, const std::int64_t* argmax, T* dx,
                                int num_threads) {
    if (s.input_size() == 0) return false;
    const index_t pixels = s.in_height * s.in_width, windows = s.out_height * s.out_width;
    // A place less its channel is a multiple of the number of channels: below 2**31 the product with 2**shift over
    // that number, rounded up, is the quotient; what is above fails the test.
    const int shift = 31 + static_cast<int>(std::bit_width(static_cast<std::uint64_t>(s.channels - 1)));
    const auto divisor = static_cast<std::uint64_t>(s.channels);
    const std::uint64_t inverse = ((std::uint64_t{1} << shift) + divisor - 1) / divisor;
    std::atomic<bool> in_own_planes{pixels * s.channels < (index_t{1} << 31)};
    if (!in_own_planes) return false;
    runtime::parallel_for(s.batch * s.channels, gradient_threads(s, num_threads), [&](index_t item, int) {
        const auto channel = static_cast<std::uint64_t>(item % s.channels);
        T* plane = dx + item * pixels;
        std::fill_n(plane, pixels, T(0));
        const T* const values = grad + item * windows;
        const std::int64_t* const places = argmax + item * windows;
        const std::uint64_t by = divisor, times = inverse, most = static_cast<std::uint64_t>(pixels);
        const int right = shift;
        for (index_t i = 0; i < windows; ++i) {
            const std::uint64_t distance = static_cast<std::uint64_t>(places[i]) - channel;
            const std::uint64_t pixel = distance * times >> right;
            if (pixel >= most || pixel * by != distance) return in_own_planes.store(false);
            plane[pixel] += values[i];
        }
    });
    return in_own_planes.load();
}

template bool planar_max_pool2d_gradient(const PoolSizes&, const float*, const std::int64_t*, float*, int);
template bool planar_max_pool2d_gradient(const PoolSizes&, const double*, const std::int64_t*, double*, int);

}  // namespace fastconv::ops
