// The sums of the lanes of several vectors at once.
#pragma once

#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// The sums of the lanes of `count` vectors, which are used up. In a round the vectors become half as many: with u of
// an even and v of an odd number, whose lanes hold sums in groups of `size`, the lower and the upper halves of all
// groups of u, then of v, are added.
template <class T, int count, int size = lanes<T>>
FASTCONV_INLINE void sum_lanes(vec<T>* sums) {
    if constexpr (size > 1) {
        constexpr int V = lanes<T>, half = size / 2;
        ivec<T> lower;
        FASTCONV_UNROLL for (int l = 0; l < V; ++l) lower[l] = l / half * size + l % half;
        FASTCONV_UNROLL for (int i = 0; i < count; i += 2) {
            const vec<T> u = sums[i], v = i + 1 < count ? sums[i + 1] : u;
            sums[i / 2] = pick(u, v, lower) + pick(u, v, lower + half);
        }
        sum_lanes<T, (count + 1) / 2, half>(sums);
    }
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
