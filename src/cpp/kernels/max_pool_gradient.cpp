// The gradient of max pooling, gathered (formula: MaxPoolGradient in table.hpp): an element of dx compares its own
// place with those of the maxima of the windows around it. Nothing is cleared first, and dx is written once. Blocks
// of channels as in pooling.cpp.
//
// Windows of 3x3 that meet at a stride of 2: two rows of dx are written from left to right, two pixels at a step. A
// window of the row below adds to 2x3 pixels, one of the row above to the 1x3 they share: 9 comparisons; what falls
// on the third column waits in 3 registers for the next step. In steps of 2 vectors of channels 6 registers wait, 8
// hold maxima and their places.
#include "kernels/channel_blocks.hpp"
#include "kernels/registration.hpp"
#include "simd/places.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::MaxPoolGradient;
using kernels::MeetingWindows;
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
    const index_t *tap_offsets = op.tap_offsets, taps = op.taps, channels = op.channels, ahead = op.dx_ahead;
    const T divisor = static_cast<T>(op.divisor);
    ivec<T> found{};
    const T* grad = op.grad;
    const std::int64_t* argmax = op.argmax;
    T* dx = op.dx;
    index_t origin = op.origin;
    const bool stream = op.stream;
    for (index_t m = 0; m < op.pixels; ++m) {
        for_channels<T>(channels, [&]<class U>(U, index_t c, int done) {
            vec<T> value[U::count];
            ivec<T> offset[U::count];
            mask<T> here[U::count] = {};
            if (stream) {
                const index_t next = op.pixels * channels + c;
                FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) {
                    prefetch_far(grad + next + u * V);
                    if constexpr (maximum) prefetch_places<T>(argmax + next + u * V);
                }
            }
            for (index_t i = 0; i < taps && ahead != 0; ++i)
                FASTCONV_UNROLL for (int u = 0; u < U::count; ++u)
                    __builtin_prefetch(dx + tap_offsets[i] + c + u * V + ahead, 1);
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
                        store_or_stream(to + u * V, zero_unless(is_it, value[u]), stream);
                    }
                } else {
                    FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) store_or_stream(to + u * V, value[u], stream);
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
    if (stream) stream_fence();
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

// A window's gradient where its maximum is at an offset from its first pixel.
template <class T>
struct Maxima {
    vec<T> value;
    ivec<T> offset;
    mask<T> here{};

    FASTCONV_INLINE Maxima(const T* grad, const std::int64_t* argmax, index_t origin)
        : value(load(grad) + T(0)),  // as a sum that begins with zero
          offset(load_narrow<T>(argmax) - lane_numbers<T>() - static_cast<place_t<T>>(origin)) {}
    FASTCONV_INLINE vec<T> at(place_t<T> place) {
        const mask<T> is_it = equal(offset, broadcast(place));
        here |= is_it;
        return zero_unless(is_it, value);
    }
};

// Window q, or none, and the pixels w and w + 1, which are then complete; if `inner`, all that they touch exists.
// What the first row waits for from above and below, and the second, is read from `waiting` and left over for the
// next.
template <bool inner, class T>
FASTCONV_INLINE void two_pixels(const MeetingWindows<T>& op, index_t q, index_t w, const T* waiting, T* left_over,
                                ivec<T>& found) {
    const index_t pixel = op.channels, width = op.width, left = w * pixel, place = op.origin + left;
    const bool any = inner || q < op.windows, first = inner || op.dx[0], second = inner || op.dx[1];
    const auto step = static_cast<place_t<T>>(pixel), row = static_cast<place_t<T>>(op.row);
    const auto upper = op.above, lower = op.below;
    T *const first_row = op.dx[0], *const second_row = op.dx[1];
    const bool stream = op.stream;
    const auto exists = [=](index_t column) { return inner || (w + column >= 0 && w + column < width); };
    for_channels<T, 1>(
        pixel, [&](auto, index_t c, int done) __attribute__((always_inline)) {
            vec<T> above[3] = {}, below[3] = {}, next[3] = {};
            if (any) {
                const index_t from = q * pixel + c;
                Maxima<T> ending(upper.grad + from, upper.argmax + from, place + c);
                Maxima<T> beginning(lower.grad + from, lower.argmax + from, place + c);
                FASTCONV_UNROLL for (int s = 0; s < 3; ++s) {
                    if (exists(s) && first) above[s] = ending.at(s * step);
                    if (exists(s) && first) below[s] = beginning.at(s * step);
                    if (exists(s) && second) next[s] = beginning.at(s * step + row);
                }
                const mask<T> fresh = lanes_from<T>(done);
                found = count_where<T>(beginning.here & fresh, count_where<T>(ending.here & fresh, found));
            }
            const T* wait = waiting + c;
            T *const to = first_row + left + c, *const under = second_row + left + c, *const leave = left_over + c;
            if (inner && stream) {
                const index_t next = (q + op.windows) * pixel + c;
                prefetch_far(lower.grad + next);
                prefetch_places<T>(lower.argmax + next);
            } else if (inner) {
                __builtin_prefetch(to + 2 * pixel, 1);
                __builtin_prefetch(to + 3 * pixel, 1);
                __builtin_prefetch(under + 2 * pixel, 1);
                __builtin_prefetch(under + 3 * pixel, 1);
            }
            if (exists(0) && first)
                store_or_stream(to, load(wait) + above[0] + load(wait + pixel) + below[0], stream);
            if (exists(1) && first) store_or_stream(to + pixel, above[1] + below[1], stream);
            if (exists(0) && second) store_or_stream(under, load(wait + 2 * pixel) + next[0], stream);
            if (exists(1) && second) store_or_stream(under + pixel, next[1], stream);
            store(leave, above[2]);
            store(leave + pixel, below[2]);
            store(leave + 2 * pixel, next[2]);
        });
}

template <class T>
index_t meeting_windows_gradient(const MeetingWindows<T>& op) noexcept {
    const index_t pixel = op.channels, windows = op.dx[0] && op.dx[1] ? op.windows : 0;
    T *waiting = op.room, *left_over = op.room + 3 * pixel;
    for (index_t i = 0; i < 3 * pixel; ++i) waiting[i] = T(0);
    ivec<T> found{};
    for (index_t q = 0, w = -op.pad; w < op.width; ++q, w += 2) {
        if (w >= 0 && w + 2 < op.width && q < windows)
            two_pixels<true>(op, q, w, waiting, left_over, found);
        else
            two_pixels<false>(op, q, w, waiting, left_over, found);
        T* const other = waiting;
        waiting = left_over;
        left_over = other;
    }
    if (op.stream) stream_fence();
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
    table.meeting_windows_gradient = meeting_windows_gradient<T>;
    table.narrow_places = narrow_places;
}

}  // namespace

void register_max_pool_gradient(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
