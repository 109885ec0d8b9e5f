// Max pooling with argmax, and average pooling, over strips of windows (formula and layouts: PoolStrip in
// table.hpp). Up to `most_vectors` vectors of neighbouring channels at a time: their best values and where these were
// found (or their sums) stay in 2 * most_vectors registers, half of all, while the window's taps pass by; the chains
// of one hide the latency of the other, and windows of many taps read long runs of memory. What is left over in
// channels is done as a whole vector that ends with the last channel, partly for the second time; fewer channels than
// a vector has lanes are loaded in part. Means of one channel, thus of the planes of NCHW images, are in
// plane_means.hpp.
#include "kernels/channel_blocks.hpp"
#include "kernels/plane_means.hpp"
#include "kernels/registration.hpp"
#include "simd/places.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::PoolStrip;

template <class T>
using Integer = typename integer_of<T>::type;

// What is kept of a maximum beside its value: nothing; the number of its tap; the offset of its tap, which saves
// looking that up, where it fits a lane; the number of its tap for looking the offset up.
enum class Place { none, code, near, far };

constexpr index_t most_offset = index_t{1} << 30;

// Lane by lane.
template <Place place, class T>
FASTCONV_INLINE void store_first_places(const PoolStrip<T>& op, index_t at, index_t origin, ivec<T> where, int n) {
    alignas(vector_bytes) Integer<T> names[lanes<T>];
    store(names, where);
    for (int i = 0; i < n && place != Place::none; ++i) {
        if (place == Place::code) op.codes[at + i] = static_cast<std::uint8_t>(names[i]);
        if (place == Place::near) op.argmax[at + i] = origin + i + names[i];
        if (place == Place::far) op.argmax[at + i] = origin + i + op.tap_offsets[names[i]];
    }
}

// `vectors` vectors of one window, of which x is the origin, y[at] the output and `origin` the place of x; unless
// they are whole, `n` lanes of one.
template <Place place, int vectors, bool whole, class T>
FASTCONV_INLINE void maxima(const PoolStrip<T>& op, const T* x, index_t at, index_t origin, int n) {
    constexpr int V = lanes<T>;
    const auto load_tap = [&](index_t tap, int u) {
        const T* p = x + op.tap_offsets[tap] + u * V;
        if constexpr (whole) return load(p);
        return load_first(p, n);
    };
    const auto name = [&](index_t tap) {
        return broadcast(static_cast<Integer<T>>(place == Place::near ? op.tap_offsets[tap] : tap));
    };
    for (index_t i = 0; i < op.ahead; ++i)
        FASTCONV_UNROLL for (int u = 0; u < vectors; ++u) prefetch_far(x + op.ahead_offsets[i] + u * V);
    vec<T> best[vectors];
    ivec<T> where[vectors];
    FASTCONV_UNROLL for (int u = 0; u < vectors; ++u) best[u] = load_tap(0, u);
    FASTCONV_UNROLL for (int u = 0; u < vectors; ++u) where[u] = name(0);
    for (index_t tap = 1; tap < op.taps; ++tap) {
        const ivec<T> own = name(tap);
        FASTCONV_UNROLL for (int u = 0; u < vectors; ++u) {
            const vec<T> value = load_tap(tap, u);
            const mask<T> better = beats(value, best[u]);
            best[u] = select(better, value, best[u]);
            where[u] = select(better, own, where[u]);
        }
    }
    if constexpr (!whole) {
        store_first(op.y + at, best[0], n);
        store_first_places<place>(op, at, origin, where[0], n);
        return;
    }
    FASTCONV_UNROLL for (int u = 0; u < vectors; ++u) {
        const index_t i = at + u * V;
        store_or_stream(op.y + i, best[u], op.stream_y);
        if constexpr (place == Place::code) store_bytes<T>(op.codes + i, where[u]);
        if constexpr (place == Place::near) store_places(op.argmax + i, origin + u * V, where[u], op.stream_argmax);
        if constexpr (place == Place::far) store_first_places<place>(op, i, origin + u * V, where[u], V);
    }
}

template <Place place, class T>
void max_pool_strip(const PoolStrip<T>& op) noexcept {
    for (index_t m = 0; m < op.pixels; ++m) {
        const T* x = op.x + m * op.x_stride;
        const index_t at = m * op.y_stride, origin = op.origin + m * op.x_stride;
        if (op.channels < lanes<T>)
            maxima<place, 1, false>(op, x, at, origin, static_cast<int>(op.channels));
        else
            for_channels<T>(op.channels, [&]<class U>(U, index_t c, int) {
                maxima<place, U::count, true>(op, x + c, at + c, origin + c, 0);
            });
    }
    if (op.stream_y || op.stream_argmax) stream_fence();
}

template <class T>
void max_pool(const PoolStrip<T>& op) noexcept {
    if (op.codes) return max_pool_strip<Place::code>(op);
    if (!op.argmax) return max_pool_strip<Place::none>(op);
    const bool fits = op.tap_offsets[0] >= -most_offset && op.tap_offsets[op.taps - 1] <= most_offset;
    fits ? max_pool_strip<Place::near>(op) : max_pool_strip<Place::far>(op);
}

// Of windows of more taps: so few runs of memory are followed at once, from the first channel to the last. One
// thread: global pooling of 7x7x2048, batch 8: 51 instead of 69 us.
constexpr index_t taps_at_once = 8;

template <class T>
void average_pool(const PoolStrip<T>& op) noexcept {
    constexpr int V = lanes<T>;
    // Division takes longer than all else; by a power of two, the product with its inverse has the same bits.
    const T divisor = static_cast<T>(op.divisor);
    const bool power_of_two = (op.divisor & (op.divisor - 1)) == 0;
    const T share = T(1) / divisor;
    const auto mean = [&](vec<T> sum) { return power_of_two ? sum * share : sum / divisor; };
    if (op.channels == 1 && op.y_stride == 1) return plane_means(op, mean);
    const index_t at_once = op.taps > taps_at_once && op.channels % V == 0 ? taps_at_once : op.taps + 1;
    for (index_t m = 0; m < op.pixels; ++m) {
        const T* x = op.x + m * op.x_stride;
        T* y = op.y + m * op.y_stride;
        if (op.channels < V) {
            const int n = static_cast<int>(op.channels);
            vec<T> sum{};
            for (index_t i = 0; i < op.taps; ++i) sum += load_first(x + op.tap_offsets[i], n);
            store_first(y, mean(sum), n);
            continue;
        }
        for (index_t first = 0; first == 0 || first < op.taps; first += at_once) {
            const index_t last = first + at_once < op.taps ? first + at_once : op.taps;
            for_channels<T>(op.channels, [&]<class U>(U, index_t c, int) {
                vec<T> sum[U::count] = {};
                if (first > 0) FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) sum[u] = load(y + c + u * V);
                for (index_t i = first; i < last; ++i) {
                    const T* p = x + op.tap_offsets[i] + c;
                    FASTCONV_UNROLL for (int u = 0; u < U::count; ++u) sum[u] += load(p + u * V);
                }
                FASTCONV_UNROLL for (int u = 0; u < U::count; ++u)
                    store(y + c + u * V, last < op.taps ? sum[u] : mean(sum[u]));
            });
        }
    }
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.max_pool = max_pool<T>;
    table.average_pool = average_pool<T>;
}

}  // namespace

void register_pooling(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
