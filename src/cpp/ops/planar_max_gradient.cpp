// The gradient of max pooling in NCHW, scattered plane by plane.
#include <algorithm>
#include <atomic>

#include "ops/gradient_strips.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::ops {

template <class T>
bool planar_max_pool2d_gradient(const PoolSizes& s, const T* grad, const std::int64_t* argmax, T* dx,
                                int num_threads) {
    if (s.input_size() == 0) return false;
    const index_t pixels = s.in_height * s.in_width, windows = s.out_height * s.out_width;
    const auto image = static_cast<std::uint64_t>(pixels * s.channels);
    const double inverse = 1 / static_cast<double>(s.channels);
    std::atomic<bool> in_own_planes{true};
    runtime::parallel_for(s.batch * s.channels, gradient_threads(s, num_threads), [&](index_t item, int) {
        const index_t channel = item % s.channels;
        T* plane = dx + item * pixels;
        std::fill_n(plane, pixels, T(0));
        for (index_t i = item * windows; i < (item + 1) * windows; ++i) {
            if (static_cast<std::uint64_t>(argmax[i]) >= image) return in_own_planes.store(false);
            // A multiple of the number of channels: half a pixel more makes up for the roundings.
            const index_t distance = argmax[i] - channel;
            const auto pixel = static_cast<index_t>(static_cast<double>(distance) * inverse + 0.5);
            if (pixel * s.channels != distance) return in_own_planes.store(false);
            plane[pixel] += grad[i];
        }
    });
    return in_own_planes.load();
}

template bool planar_max_pool2d_gradient(const PoolSizes&, const float*, const std::int64_t*, float*, int);
template bool planar_max_pool2d_gradient(const PoolSizes&, const double*, const std::int64_t*, double*, int);

}  // namespace fastconv::ops
