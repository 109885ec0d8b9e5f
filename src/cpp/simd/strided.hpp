// Vectors of elements that lie apart.
#pragma once

#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// Lane l < n is p[l * stride], 1 <= n <= lanes; no byte before the first or beyond the last of them is touched.
template <bool whole, class T>
FASTCONV_INLINE vec<T> load_strided(const T* p, index_t stride, int n) {
    constexpr int V = lanes<T>;
    if (stride == 1) {
        if constexpr (whole) return load(p);
        return load_first(p, n);
    }
    if (stride == 2) {
        // The second vector begins an element early, so as to end with the last lane's.
        ivec<T> even;
        FASTCONV_UNROLL for (int l = 0; l < V; ++l) even[l] = 2 * l < V ? 2 * l : 2 * l + 1;
        if constexpr (whole) return pick(load(p), load(p + V - 1), even);
        const int all = 2 * n - 1;
        return pick(load_first(p, all < V ? all : V), load_first(p + V - 1, all > V ? all - (V - 1) : 0), even);
    }
    alignas(vector_bytes) T copy[V] = {};
    for (int l = 0; l < n; ++l) copy[l] = p[l * stride];
    return load(copy);
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
