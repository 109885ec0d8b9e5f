// The gradient of max pooling, gathered (formula: MaxPoolGradient in table.hpp): an element of dx compares its own
// place with those of the maxima of the windows around it. Nothing is cleared first, and dx is written once. Blocks
// of channels as in pooling.cpp.
//
// Windows of 3x3 that meet at a stride of 2: two rows of dx are written from left to right, two pixels for each
// window. A window of the row below adds to 2x3 pixels, one of the row above to the 1x3 they share: 9 comparisons.
// What falls on the third column waits in 3 registers for the next window; 2 windows are done before the next vector
// of channels has its turn, then it waits in memory. Maxima are counted in a chain for each column.
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

// Maxima found, lane by lane. 64-bit places are compared by their lower halves where they share lanes with float; of
// the upper ones only what is set in any is kept.
template <class T>
struct Tally {
    ivec<T> found{}, bits{};

    // The first `done` lanes have been counted before.
    FASTCONV_INLINE void add(ivec<T> count, int done) {
        found += done == 0 ? count : (ivec<T>)zero_unless(lanes_from<T>(done), (vec<T>)count);
    }
    // None at all if a place did not fit.
    index_t total() const {
        bool wide = false;
        for (int i = 1; i < lanes<T> && sizeof(T) == 4; i += 2) wide |= bits[i] != 0;
        return wide ? 0 : sum_of_lanes<T>(found);
    }
};

// A vector of the maxima of windows, and where they are, counted from `first`, the first element of each window.
template <class T>
struct Maxima {
    vec<T> value;
    ivec<T> offset;

    FASTCONV_INLINE void load_from(const T* grad, const std::int64_t* argmax, ivec<T> first, ivec<T>& bits) {
        value = load(grad) + T(0);  // as a sum that begins with zero
        offset = load_lower<T>(argmax, bits) - first;
    }
    FASTCONV_INLINE vec<T> at(place_t<T> place, ivec<T>& found) const {
        const mask<T> here = equal(offset, broadcast(place));
        found = count_where<T>(here, found);
        return zero_unless(here, value);
    }
    FASTCONV_INLINE vec<T> added_to(vec<T> sum, place_t<T> place, ivec<T>& found) const {
        const mask<T> here = equal(offset, broadcast(place));
        found = count_where<T>(here, found);
        return add_where<T>(here, sum, value);
    }
};

// `count` is the number of taps, 0 for any.
template <bool maximum, bool stream, int count, class T>
index_t window_gradient_strip(const WindowGradient<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const index_t *tap_offsets = op.tap_offsets, taps = count ? count : op.taps, channels = op.channels;
    const index_t ahead = op.dx_ahead;
    const T divisor = static_cast<T>(op.divisor);
    Tally<T> tally;
    const T* grad = op.grad;
    const std::int64_t* argmax = op.argmax;
    T* dx = op.dx;
    index_t origin = op.origin;
    for (index_t m = 0; m < op.pixels; ++m) {
        for_channels<T>(channels, [&]<class U>(U, index_t c, int done) {
            Maxima<T> maxima[U::count];
            ivec<T> found{};
            if (stream || ahead != 0) {
                const index_t next = op.pixels * channels + c;
                FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) {
                    prefetch_far(grad + next + u * V);
                    if constexpr (maximum) prefetch_places<T>(argmax + next + u * V);
                }
            }
            for (index_t i = 0; i < taps && ahead != 0; ++i)
                FASTCONV_UNROLL for (int u = 0; u < U::count; ++u)
                    __builtin_prefetch(dx + tap_offsets[i] + c + u * V + ahead, 1);
            const ivec<T> first = lane_numbers<T>() + static_cast<place_t<T>>(origin + c);
            FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) {
                if constexpr (maximum)
                    maxima[u].load_from(grad + c + u * V, argmax + c + u * V, first + u * V, tally.bits);
                else
                    maxima[u].value = load(grad + c + u * V) / divisor;
            }
            const auto write_tap = [&](index_t i) __attribute__((always_inline)) {
                T* to = dx + tap_offsets[i] + c;
                const auto own = static_cast<place_t<T>>(tap_offsets[i]);
                FASTCONV_UNROLL for (int u = 0; u < U::count; ++u)
                    store_or_stream(to + u * V, maximum ? maxima[u].at(own, found) : maxima[u].value, stream);
            };
            if constexpr (count > 0)
                FASTCONV_UNROLL for (int i = 0; i < count; ++i) write_tap(i);
            else
                for (index_t i = 0; i < taps; ++i) write_tap(i);
            tally.add(found, done);
        });
        grad += channels;
        argmax += maximum ? channels : 0;
        dx += op.dx_stride;
        origin += op.dx_stride;
    }
    if (stream) stream_fence();
    return tally.total();
}

template <bool maximum, int count, class T>
index_t window_gradient_strip(const WindowGradient<T>& op) noexcept {
    return op.stream ? window_gradient_strip<maximum, true, count>(op)
                     : window_gradient_strip<maximum, false, count>(op);
}

template <class T>
index_t window_gradient(const WindowGradient<T>& op) noexcept {
    if (!op.argmax) return window_gradient_strip<false, 0>(op);
    return op.taps == 4 ? window_gradient_strip<true, 4>(op) : window_gradient_strip<true, 0>(op);
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

// While one is done the next run's pixels are asked for. us, 1 thread (2 threads), runs of 2/4/8 windows: 13x13x256,
// batch 32: 193 (99) / 209 (108) / 214 (111); 27x27x256, batch 16: 546 (259) / 633 (332) / 777 (394).
constexpr index_t windows_of_run = 2;

// Windows q to q + count, or none, and the two pixels of each row that begin at each, which are then complete. If
// `inner`, all that they touch exists; there are none in the row above unless `above`, below unless `below`. What the
// first row waits for from above and below, and the second, is read from `waiting` and left over for the next.
template <bool inner, bool above, bool below, bool stream, class T>
FASTCONV_INLINE void pixels_of_windows(const MeetingWindows<T>& op, index_t q, index_t count, const T* waiting,
                                       T* left_over, Tally<T>& tally) {
    const index_t pixel = op.channels, w = 2 * q - op.pad, left = w * pixel;
    const bool any = inner || q < op.windows;
    const bool first = (inner && above) || op.dx[0], second = (inner && below) || op.dx[1];
    const bool ends = above && any, begins = below && any;
    const auto step = static_cast<place_t<T>>(pixel), row = static_cast<place_t<T>>(op.row);
    const auto exists = [=](index_t column) { return inner || (w + column >= 0 && w + column < op.width); };
    for_channels<T, 1>(
        pixel, [&](auto, index_t c, int done) __attribute__((always_inline)) {
            vec<T> ending = load(waiting + c), beginning = load(waiting + pixel + c),
                   next = load(waiting + 2 * pixel + c);
            ivec<T> start = lane_numbers<T>() + static_cast<place_t<T>>(op.origin + left + c), found[3] = {}, bits{};
            index_t from = q * pixel + c;
            T *to = op.dx[0] + left + c, *under = op.dx[1] + left + c;
            for (index_t i = 0; i < count; ++i) {
                vec<T> sum[2] = {ending, {}}, lower[2] = {next, {}}, waits[3] = {};
                if (inner) {
                    const index_t next_row = from + op.windows * pixel;
                    if (below) {
                        prefetch_far(op.below.grad + next_row);
                        prefetch_places<T>(op.below.argmax + next_row);
                    }
                    if constexpr (!stream) {
                        const index_t ahead = 2 * windows_of_run * pixel;
                        prefetch_far(to + ahead);
                        prefetch_far(to + ahead + pixel);
                        prefetch_far(under + ahead);
                        prefetch_far(under + ahead + pixel);
                    }
                }
                if (ends) {
                    Maxima<T> window;
                    window.load_from(op.above.grad + from, op.above.argmax + from, start, bits);
                    if (exists(0) && first) sum[0] = window.added_to(sum[0], 0, found[0]);
                    if (exists(1) && first) sum[1] = window.at(step, found[1]);
                    if (exists(2) && first) waits[0] = window.at(2 * step, found[2]);
                }
                sum[0] += beginning;
                if (begins) {
                    Maxima<T> window;
                    window.load_from(op.below.grad + from, op.below.argmax + from, start, bits);
                    if (exists(0) && first) sum[0] = window.added_to(sum[0], 0, found[0]);
                    if (exists(1) && first) sum[1] = window.added_to(sum[1], step, found[1]);
                    if (exists(2) && first) waits[1] = window.at(2 * step, found[2]);
                    if (exists(0) && second) lower[0] = window.added_to(lower[0], row, found[0]);
                    if (exists(1) && second) lower[1] = window.at(row + step, found[1]);
                    if (exists(2) && second) waits[2] = window.at(row + 2 * step, found[2]);
                }
                if (exists(0) && first) store_or_stream(to, sum[0], stream);
                if (exists(1) && first) store_or_stream(to + pixel, sum[1], stream);
                if (exists(0) && second) store_or_stream(under, lower[0], stream);
                if (exists(1) && second) store_or_stream(under + pixel, lower[1], stream);
                ending = waits[0];
                beginning = waits[1];
                next = waits[2];
                start += 2 * step;
                from += pixel;
                to += 2 * pixel;
                under += 2 * pixel;
            }
            tally.bits |= bits;
            tally.add(found[0] + found[1] + found[2], done);
            store(left_over + c, ending);
            store(left_over + pixel + c, beginning);
            store(left_over + 2 * pixel + c, next);
        });
}

template <bool above, bool below, bool stream, class T>
index_t meeting_windows_strip(const MeetingWindows<T>& op) noexcept {
    const index_t pixel = op.channels, pad = op.pad;
    T *waiting = op.room, *left_over = op.room + 3 * pixel;
    for (index_t i = 0; i < 3 * pixel; ++i) waiting[i] = T(0);
    Tally<T> tally;
    // All three columns of the inner windows exist.
    const index_t first = (pad + 1) / 2, fit = (op.width + pad - 1) / 2;
    const bool rows = (!above || op.dx[0]) && (!below || op.dx[1]);
    const index_t last = rows ? (fit < op.windows ? fit : op.windows) : 0;
    for (index_t q = 0; 2 * q - pad < op.width;) {
        index_t count = 1;
        if (q >= first && q < last) {
            count = last - q < windows_of_run ? last - q : windows_of_run;
            pixels_of_windows<true, above, below, stream>(op, q, count, waiting, left_over, tally);
        } else {
            pixels_of_windows<false, above, below, stream>(op, q, 1, waiting, left_over, tally);
        }
        q += count;
        T* const other = waiting;
        waiting = left_over;
        left_over = other;
    }
    if (stream) stream_fence();
    return tally.total();
}

template <bool above, bool below, class T>
index_t meeting_windows_strip(const MeetingWindows<T>& op) noexcept {
    return op.stream ? meeting_windows_strip<above, below, true>(op) : meeting_windows_strip<above, below, false>(op);
}

template <class T>
index_t meeting_windows_gradient(const MeetingWindows<T>& op) noexcept {
    if (op.above.grad)
        return op.below.grad ? meeting_windows_strip<true, true>(op) : meeting_windows_strip<true, false>(op);
    return op.below.grad ? meeting_windows_strip<false, true>(op) : meeting_windows_strip<false, false>(op);
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
