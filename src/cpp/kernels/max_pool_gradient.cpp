// The gradient of max pooling, gathered (formula: MaxPoolGradient in table.hpp): an element of dx compares its own
// place with those of the maxima of the windows around it. Nothing is cleared first, and dx is written once. Blocks
// of channels as in pooling.cpp.
#include "kernels/channel_blocks.hpp"
#include "kernels/registration.hpp"
#include "simd/places.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::MaxPoolGradient;
using kernels::place_t;
using kernels::WindowGradient;

template <class T>
index_t sum_of_lanes(ivec<T> v) {
    index_t sum = 0;
    for (int i = 0; i < lanes<T>; ++i) sum += v[i];
    return sum;
}

template <bool maximum, class T>
index_t window_gradient_strip(const WindowGradient<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const index_t *tap_offsets = op.tap_offsets, taps = op.taps, channels = op.channels;
    const T divisor = static_cast<T>(op.divisor);
    ivec<T> found{};
    const T* grad = op.grad;
    const std::int64_t* argmax = op.argmax;
    T* dx = op.dx;
    index_t origin = op.origin;
    for (index_t m = 0; m < op.pixels; ++m) {
        for_channels<T>(channels, [&]<class U>(U, index_t c, int done) {
            vec<T> value[U::count];
            ivec<T> offset[U::count];
            mask<T> here[U::count] = {};
            FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) {
                value[u] = load(grad + c + u * V);
                if constexpr (maximum) {
                    value[u] += T(0);  // as a sum that begins with zero
                    offset[u] = load_narrow<T>(argmax + c + u * V) - lane_numbers<T>() -
                                static_cast<place_t<T>>(origin + c + u * V);
                } else {
                    value[u] /= divisor;
                }
            }
            for (index_t i = 0; i < taps; ++i) {
                T* to = dx + tap_offsets[i] + c;
                if constexpr (maximum) {
                    const ivec<T> own = broadcast(static_cast<place_t<T>>(tap_offsets[i]));
                    FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) {
                        const mask<T> is_it = equal(offset[u], own);
                        here[u] |= is_it;
                        store(to + u * V, zero_unless(is_it, value[u]));
                    }
                } else {
                    FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) store(to + u * V, value[u]);
                }
            }
            const mask<T> fresh = lanes_from<T>(done);
            FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) found = count_where<T>(here[u] & fresh, found);
        });
        grad += channels;
        argmax += maximum ? channels : 0;
        dx += op.dx_stride;
        origin += op.dx_stride;
    }
    return sum_of_lanes<T>(found);
}

template <class T>
index_t window_gradient(const WindowGradient<T>& op) noexcept {
    return op.argmax ? window_gradient_strip<true>(op) : window_gradient_strip<false>(op);
}

template <class T>
index_t max_pool_gradient(const MaxPoolGradient<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const T* grad = op.grad;
    const place_t<T>* places = op.places;
    const index_t *offsets = op.offsets, windows = op.windows, channels = op.channels;
    T* dx = op.dx;
    index_t origin = op.origin;
    ivec<T> found{};
    for (index_t m = 0; m < op.pixels; ++m) {
        const ivec<T> place = lane_numbers<T>() + static_cast<place_t<T>>(origin);
        for_channels<T>(channels, [&]<class U>(U, index_t c, int done) {
            vec<T> sum[U::count] = {};
            const mask<T> fresh = lanes_from<T>(done);
            for (index_t i = 0; i < windows; ++i) {
                const index_t window = offsets[i] + c;
                FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) {
                    const ivec<T> own = place + static_cast<place_t<T>>(c + u * V);
                    const mask<T> is_it = equal(load_places<T>(places + window + u * V), own);
                    sum[u] += zero_unless(is_it, load(grad + window + u * V));
                    found = count_where<T>(is_it & fresh, found);
                }
            }
            FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) store(dx + c + u * V, sum[u]);
        });
        grad += op.stride;
        places += op.stride;
        dx += op.dx_stride;
        origin += op.dx_stride;
    }
    return sum_of_lanes<T>(found);
}

// Argmax is as wide as a double already.
void narrow_places(index_t size, const std::int64_t* argmax, std::int64_t* places) noexcept {
    for (index_t i = 0; i < size; ++i) places[i] = argmax[i];
}

void narrow_places(index_t size, const std::int64_t* argmax, std::int32_t* places) noexcept {
    constexpr int V = lanes<float>;
    index_t i = 0;
    for (; i + V <= size; i += V)
        store(reinterpret_cast<float*>(places + i), (vec<float>)load_narrow<float>(argmax + i));
    for (; i < size; ++i) {
        const bool fits = argmax[i] >= 0 && argmax[i] <= std::int64_t{0x7fffffff};
        places[i] = fits ? static_cast<std::int32_t>(argmax[i]) : -1;
    }
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.window_gradient = window_gradient<T>;
    table.max_pool_gradient = max_pool_gradient<T>;
    table.narrow_places = narrow_places;
}

}  // namespace

void register_max_pool_gradient(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
