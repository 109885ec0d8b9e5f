// The maximum of a 2x2 window and its code, shared by the kernels that pool what they compute.
#pragma once

#include "kernels/table.hpp"
#include "simd/bytes.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// Stores the first maximum of four and, unless `code` is null, its code.
template <class T>
FASTCONV_INLINE void store_maximum(const vec<T> (&v)[4], bool relu, T* y, std::uint8_t* code) {
    const mask<T> right_above = greater(v[1], v[0]), right_below = greater(v[3], v[2]);
    const vec<T> above = larger(v[1], v[0]), below = larger(v[3], v[2]);
    const mask<T> lower = greater(below, above);
    const vec<T> best = larger(below, above);
    const mask<T> right = choose<T>(lower, right_below, right_above);
    if (relu) {
        // Where all four are cut off the first is the maximum.
        const mask<T> positive = greater(best, vec<T>{});
        store(y, larger(best, vec<T>{}));
        if (code) store_bits<T>(code, right & positive, lower & positive, static_cast<mask<T>>(~positive));
    } else {
        store(y, best);
        if (code) store_bits<T>(code, right, lower, mask<T>{});
    }
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
