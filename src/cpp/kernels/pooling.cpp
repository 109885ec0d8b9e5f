// Max pooling with argmax, and average pooling, over strips of windows (formula and layouts: PoolStrip in
// table.hpp). One vector of channels at a time: the best value and its tap offset stay in two registers while
// the window's taps pass by.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::PoolStrip;

template <class T>
using Integer = typename integer_of<T>::type;

// `load_tap(offset)` gives a vector of channels of one tap.
template <class T, class LoadTap>
FASTCONV_INLINE void window_maximum(const PoolStrip<T>& op, const LoadTap& load_tap, vec<T>& best, ivec<T>& where) {
    best = load_tap(op.tap_offsets[0]);
    where = broadcast(static_cast<Integer<T>>(op.tap_offsets[0]));
    for (index_t i = 1; i < op.taps; ++i) {
        const vec<T> value = load_tap(op.tap_offsets[i]);
        // not (value <= best) is value > best, or either is NaN; a best that is NaN stays.
        const ivec<T> better = ~(value <= best) & (best == best);
        best = better ? value : best;
        where = better ? broadcast(static_cast<Integer<T>>(op.tap_offsets[i])) : where;
    }
}

template <class T>
FASTCONV_INLINE void store_argmax(std::int64_t* argmax, index_t origin, ivec<T> where, int n) {
    alignas(vector_bytes) Integer<T> offset[lanes<T>];
    store(offset, where);
    for (int i = 0; i < n; ++i) argmax[i] = origin + i + offset[i];
}

template <class T>
void max_pool(const PoolStrip<T>& op) noexcept {
    constexpr int V = lanes<T>;
    for (index_t m = 0; m < op.pixels; ++m) {
        const T* x = op.x + m * op.x_stride;
        T* y = op.y + m * op.y_stride;
        std::int64_t* argmax = op.argmax ? op.argmax + m * op.y_stride : nullptr;
        const index_t origin = op.origin + m * op.x_stride;
        vec<T> best;
        ivec<T> where;
        index_t c = 0;
        for (; c + V <= op.channels; c += V) {
            window_maximum<T>(op, [&](index_t offset) { return load(x + offset + c); }, best, where);
            store(y + c, best);
            if (argmax) store_argmax<T>(argmax + c, origin + c, where, V);
        }
        if (const int rest = static_cast<int>(op.channels - c)) {
            window_maximum<T>(op, [&](index_t offset) { return load_first(x + offset + c, rest); }, best, where);
            store_first(y + c, best, rest);
            if (argmax) store_argmax<T>(argmax + c, origin + c, where, rest);
        }
    }
}

template <class T>
void average_pool(const PoolStrip<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const T taps = static_cast<T>(op.taps);
    for (index_t m = 0; m < op.pixels; ++m) {
        const T* x = op.x + m * op.x_stride;
        T* y = op.y + m * op.y_stride;
        index_t c = 0;
        for (; c + V <= op.channels; c += V) {
            vec<T> sum{};
            for (index_t i = 0; i < op.taps; ++i) sum += load(x + op.tap_offsets[i] + c);
            store(y + c, sum / taps);
        }
        if (const int rest = static_cast<int>(op.channels - c)) {
            vec<T> sum{};
            for (index_t i = 0; i < op.taps; ++i) sum += load_first(x + op.tap_offsets[i] + c, rest);
            store_first(y + c, vec<T>(sum / taps), rest);
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
