// Max pooling with argmax, and average pooling, over strips of windows (formula and layouts: PoolStrip in
// table.hpp). One vector of channels at a time: the best value and its tap offset stay in two registers while
// the window's taps pass by.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::PoolStrip;

constexpr index_t most_offset = index_t{1} << 30;

template <class T>
using Integer = typename integer_of<T>::type;

// `load_tap(offset)` gives a vector of channels of one tap, `name(i)` what stands for tap i in `where`.
template <class T, class LoadTap, class Name>
FASTCONV_INLINE void window_maximum(const PoolStrip<T>& op, const LoadTap& load_tap, const Name& name, vec<T>& best,
                                    ivec<T>& where) {
    best = load_tap(op.tap_offsets[0]);
    where = broadcast(static_cast<Integer<T>>(name(0)));
    for (index_t i = 1; i < op.taps; ++i) {
        const vec<T> value = load_tap(op.tap_offsets[i]);
        // not (value <= best) is value > best, or either is NaN; a best that is NaN stays.
        const ivec<T> better = ~(value <= best) & (best == best);
        best = better ? value : best;
        where = better ? broadcast(static_cast<Integer<T>>(name(i))) : where;
    }
}

template <class T>
FASTCONV_INLINE void store_place(const PoolStrip<T>& op, bool by_offset, index_t place, index_t origin, ivec<T> where,
                                 int n) {
    alignas(vector_bytes) Integer<T> names[lanes<T>];
    store(names, where);
    if (op.codes) {
        for (int i = 0; i < n; ++i) op.codes[place + i] = static_cast<std::uint8_t>(names[i]);
    } else if (op.argmax && by_offset) {
        for (int i = 0; i < n; ++i) op.argmax[place + i] = origin + i + names[i];
    } else if (op.argmax) {
        for (int i = 0; i < n; ++i) op.argmax[place + i] = origin + i + op.tap_offsets[names[i]];
    }
}

template <class T>
void max_pool(const PoolStrip<T>& op) noexcept {
    constexpr int V = lanes<T>;
    // A tap is named by its offset, which saves looking it up, unless it might not fit a lane.
    const bool fits = op.tap_offsets[0] >= -most_offset && op.tap_offsets[op.taps - 1] <= most_offset;
    const bool by_offset = fits && !op.codes;
    const auto name = [&](index_t i) { return by_offset ? op.tap_offsets[i] : i; };
    for (index_t m = 0; m < op.pixels; ++m) {
        const T* x = op.x + m * op.x_stride;
        const index_t place = m * op.y_stride, origin = op.origin + m * op.x_stride;
        vec<T> best;
        ivec<T> where;
        index_t c = 0;
        for (; c + V <= op.channels; c += V) {
            window_maximum<T>(op, [&](index_t offset) { return load(x + offset + c); }, name, best, where);
            store(op.y + place + c, best);
            store_place(op, by_offset, place + c, origin + c, where, V);
        }
        if (const int rest = static_cast<int>(op.channels - c)) {
            const auto load_rest = [&](index_t offset) { return load_first(x + offset + c, rest); };
            window_maximum<T>(op, load_rest, name, best, where);
            store_first(op.y + place + c, best, rest);
            store_place(op, by_offset, place + c, origin + c, where, rest);
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
