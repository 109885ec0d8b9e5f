// c = a b^T for two vectors (formula: outer_product in table.hpp). Nothing is read twice from memory; the stores
// decide.
//
// Few columns are written as what they are in memory, one long row: V rows of `columns` elements are `columns`
// vectors, whose lanes pick from V elements of a and are multiplied by as many patterns of b. 1600 x 10 in the cache,
// both kernels alone, Zen 4, us: 0.9 (AVX-512), 0.7 (AVX2), 2.8 (x86-64-v2); batch_reduce 5.6, 6.2, 8.0.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

template <class T, bool past_caches>
FASTCONV_INLINE void put(T* c, vec<T> v) {
    if constexpr (past_caches)
        stream(c, v);
    else
        store(c, v);
}

// As batch_reduce has it, so that -0 becomes 0 in both.
template <class V>
FASTCONV_INLINE V product(V a, V b) {
    return V{} + a * b;
}

constexpr int most_patterns = 4;  // of `lanes` columns

// Rows in groups of V; c is written without a gap.
template <class T>
void narrow(index_t rows, int columns, const T* a, const T* b, T* c) noexcept {
    constexpr int V = lanes<T>;
    using Number = typename integer_of<T>::type;
    alignas(vector_bytes) T pattern[most_patterns * V * V];
    alignas(vector_bytes) Number row[most_patterns * V * V];
    for (int m = 0, i = 0; m < V; ++m) {
        for (int n = 0; n < columns; ++n, ++i) {
            pattern[i] = b[n];
            row[i] = m;
        }
    }
    for (; rows >= V; rows -= V, a += V, c += V * columns) {
        const vec<T> factors = load(a);
        for (int i = 0; i < columns; ++i) {
            const ivec<T> number = (ivec<T>)load(reinterpret_cast<const T*>(row) + i * V);
            store<T>(c + i * V, product(pick(factors, factors, number), load(pattern + i * V)));
        }
    }
    for (index_t m = 0; m < rows; ++m, c += columns) {
        int n = 0;
        for (; n + V <= columns; n += V) store<T>(c + n, product(broadcast(a[m]), load(b + n)));
        store_first(c + n, product(broadcast(a[m]), load_first(b + n, columns - n)), columns - n);
    }
}

template <class T, bool past_caches>
void wide(index_t rows, index_t columns, const T* a, const T* b, T* c) noexcept {
    constexpr int V = lanes<T>;
    for (index_t m = 0; m < rows; ++m, c += columns) {
        const vec<T> factor = broadcast(a[m]);
        index_t n = 0;
        for (; n + V <= columns; n += V) put<T, past_caches>(c + n, product(factor, load(b + n)));
        if (n < columns) store(c + columns - V, product(factor, load(b + columns - V)));
    }
}

template <class T>
void outer_product(index_t rows, index_t columns, const T* a, const T* b, T* c, bool past_caches) noexcept {
    constexpr int V = lanes<T>;
    if (columns % V != 0 && columns < most_patterns * V) return narrow(rows, static_cast<int>(columns), a, b, c);
    if (!past_caches || columns * sizeof(T) % 64 != 0) return wide<T, false>(rows, columns, a, b, c);
    wide<T, true>(rows, columns, a, b, c);
    stream_fence();
}

}  // namespace

void register_outer_product(Kernels& table) noexcept {
    table.f32.outer_product = outer_product<float>;
    table.f64.outer_product = outer_product<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
