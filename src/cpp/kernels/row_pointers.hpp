// The addresses of Rows rows that advance together, in few registers.
#pragma once

#include "common.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// (Rows + 2) / 3 pointers: x86 reaches p, p + stride and p + 2 * stride by itself.
template <class T, int Rows>
struct RowPointers {
    static constexpr int count = (Rows + 2) / 3;
    const char* p[count];
    std::ptrdiff_t stride;

    FASTCONV_INLINE RowPointers(const T* a, index_t row_stride)
        : stride(row_stride * static_cast<std::ptrdiff_t>(sizeof(T))) {
        FASTCONV_UNROLL for (int i = 0; i < count; ++i) p[i] = reinterpret_cast<const char*>(a) + 3 * i * stride;
    }
    FASTCONV_INLINE const T* row(int i) const { return reinterpret_cast<const T*>(p[i / 3] + (i % 3) * stride); }
    FASTCONV_INLINE void advance(index_t step) {
        FASTCONV_UNROLL for (int i = 0; i < count; ++i) p[i] += step * static_cast<std::ptrdiff_t>(sizeof(T));
    }
};

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
