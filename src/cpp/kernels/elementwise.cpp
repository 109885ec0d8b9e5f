// Sums, ReLU and its gradient: one pass over memory each.
#include "kernels/registration.hpp"
#include "simd/partial.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// y[i] = f(a[i], b[i]), whole vectors first; f works on vec<T>.
template <class T, class F>
FASTCONV_INLINE void map(index_t size, const T* a, const T* b, T* y, const F& f) {
    constexpr int V = lanes<T>;
    index_t i = 0;
    for (; i + V <= size; i += V) store(y + i, vec<T>(f(load(a + i), load(b + i))));
    if (const int rest = static_cast<int>(size - i))
        store_first(y + i, vec<T>(f(load_first(a + i, rest), load_first(b + i, rest))), rest);
}

template <class T>
void add(index_t size, const T* x, T* y) noexcept {
    map(size, x, y, y, [](vec<T> a, vec<T> b) { return b + a; });
}

// The bits of |x| order like its value, infinity and NaN above all numbers.
template <class T>
T largest_magnitude(index_t size, const T* x) noexcept {
    constexpr int V = lanes<T>;
    const ivec<T> no_sign = broadcast(~(typename integer_of<T>::type{1} << (8 * sizeof(T) - 1)));
    ivec<T> largest{};
    const auto take = [&](vec<T> v) {
        const ivec<T> magnitude = (ivec<T>)v & no_sign;
        largest = magnitude > largest ? magnitude : largest;
    };
    index_t i = 0;
    for (; i + V <= size; i += V) take(load(x + i));
    if (const int rest = static_cast<int>(size - i)) take(load_first(x + i, rest));
    alignas(vector_bytes) typename integer_of<T>::type lane[V], most = 0;
    store(lane, largest);
    for (int j = 0; j < V; ++j) most = lane[j] > most ? lane[j] : most;
    T value;
    __builtin_memcpy(&value, &most, sizeof(value));
    return value;
}

template <class T>
void relu(index_t size, const T* x, T* y) noexcept {
    map(size, x, x, y, [](vec<T> a, vec<T>) { return larger(vec<T>{}, a); });
}

template <class T>
void relu_gradient(index_t size, const T* grad, const T* y, T* dx) noexcept {
    map(size, grad, y, dx, [](vec<T> g, vec<T> out) { return out > vec<T>{} ? g : vec<T>{}; });
}

// `Vectors` vectors of columns are summed in registers over all rows.
template <class T, int Vectors>
FASTCONV_INLINE void add_block_sums(index_t rows, index_t stride, const T* x, T* sums) {
    vec<T> sum[Vectors] = {};
    for (index_t r = 0; r < rows; ++r, x += stride)
        FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) sum[j] += load(x + j * lanes<T>);
    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) store(sums + j * lanes<T>, load(sums + j * lanes<T>) + sum[j]);
}

template <class T>
void add_column_sums(index_t rows, index_t columns, const T* x, T* sums) noexcept {
    constexpr int V = lanes<T>;
    index_t c = 0;
    for (; c + 4 * V <= columns; c += 4 * V) add_block_sums<T, 4>(rows, columns, x + c, sums + c);
    for (; c + V <= columns; c += V) add_block_sums<T, 1>(rows, columns, x + c, sums + c);
    if (const int rest = static_cast<int>(columns - c)) {
        vec<T> sum{};
        for (index_t r = 0; r < rows; ++r) sum += load_first(x + r * columns + c, rest);
        store_first(sums + c, vec<T>(load_first(sums + c, rest) + sum), rest);
    }
}

// `Vectors` vectors of y from `first` on, so that their chains of additions overlap.
template <class T, int Vectors, bool inside>
FASTCONV_INLINE void sum_shifted(const kernels::ShiftedSum<T>& op, index_t first, vec<T> (&sum)[Vectors]) {
    constexpr int V = lanes<T>;
    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) sum[j] = broadcast(op.start);
    const auto value = [&](const kernels::ShiftedTerm& term, int j) {
        const T* x = op.x + term.offset + first + j * V;
        if constexpr (inside) return load(x);
        return load_between(x, first + j * V, term.first, term.last);
    };
    const index_t added = op.count - op.subtracted;
    for (index_t t = 0; t < added; ++t)
        FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) sum[j] += value(op.terms[t], j);
    for (index_t t = added; t < op.count; ++t)
        FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) sum[j] -= value(op.terms[t], j);
    if (op.activation == Activation::relu)
        FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) sum[j] = larger(vec<T>{}, sum[j]);
}

template <class T>
void shifted_sum(const kernels::ShiftedSum<T>& op) noexcept {
    constexpr int V = lanes<T>, most = 4;
    index_t first = 0, last = op.size;  // what lies inside all terms
    for (index_t t = 0; t < op.count; ++t) {
        if (op.terms[t].first > first) first = op.terms[t].first;
        if (op.terms[t].last < last) last = op.terms[t].last;
    }
    for (index_t i = 0; i < op.size;) {
        if (i >= first && i + most * V <= last) {
            vec<T> sum[most];
            sum_shifted<T, most, true>(op, i, sum);
            FASTCONV_UNROLL for (int j = 0; j < most; ++j) store(op.y + i + j * V, sum[j]);
            i += most * V;
        } else if (i >= first && i + V <= last) {
            vec<T> sum[1];
            sum_shifted<T, 1, true>(op, i, sum);
            store(op.y + i, sum[0]);
            i += V;
        } else if (const index_t left = op.size - i; left > V) {
            vec<T> sum[2];
            sum_shifted<T, 2, false>(op, i, sum);
            store(op.y + i, sum[0]);
            if (left >= 2 * V)
                store(op.y + i + V, sum[1]);
            else
                store_first(op.y + i + V, sum[1], static_cast<int>(left - V));
            i += 2 * V;
        } else {
            vec<T> sum[1];
            sum_shifted<T, 1, false>(op, i, sum);
            if (left == V)
                store(op.y + i, sum[0]);
            else
                store_first(op.y + i, sum[0], static_cast<int>(left));
            i += V;
        }
    }
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.add = add<T>;
    table.largest_magnitude = largest_magnitude<T>;
    table.relu = relu<T>;
    table.relu_gradient = relu_gradient<T>;
    table.add_column_sums = add_column_sums<T>;
    table.shifted_sum = shifted_sum<T>;
}

}  // namespace

void register_elementwise(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
