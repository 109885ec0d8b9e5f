// Loads of those lanes of a vector that lie inside an array.
#pragma once

#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// True in the lanes i with first <= i < last.
template <class T>
FASTCONV_INLINE mask<T> lanes_between(index_t first, index_t last) {
    const auto within = [](index_t i) {
        return i < 0 ? 0u : i > lanes<T> ? static_cast<unsigned>(lanes<T>) : static_cast<unsigned>(i);
    };
#if defined(__AVX512F__)
    return static_cast<mask<T>>(((1u << within(last)) - 1u) & ~((1u << within(first)) - 1u));
#else
    using Integer = typename integer_of<T>::type;
    ivec<T> place;
    FASTCONV_UNROLL for (int i = 0; i < lanes<T>; ++i) place[i] = i;
    return (place >= static_cast<Integer>(within(first))) & (place < static_cast<Integer>(within(last)));
#endif
}

// Zero where the mask is false: no byte of such a lane is touched.
#if defined(__AVX512F__)
FASTCONV_INLINE vec<float> load_where(__mmask16 m, const float* p) { return (vec<float>)_mm512_maskz_loadu_ps(m, p); }
FASTCONV_INLINE vec<double> load_where(__mmask8 m, const double* p) {
    return (vec<double>)_mm512_maskz_loadu_pd(m, p);
}
#elif defined(__AVX2__)
FASTCONV_INLINE vec<float> load_where(ivec<float> m, const float* p) {
    return (vec<float>)_mm256_maskload_ps(p, (__m256i)m);
}
FASTCONV_INLINE vec<double> load_where(ivec<double> m, const double* p) {
    return (vec<double>)_mm256_maskload_pd(p, (__m256i)m);
}
#else
template <class T>
FASTCONV_INLINE vec<T> load_where(ivec<T> m, const T* p) {
    alignas(vector_bytes) T copy[lanes<T>] = {};
    for (int i = 0; i < lanes<T>; ++i)
        if (m[i]) copy[i] = p[i];
    return load(copy);
}
#endif

// The lanes whose number + `at` is in [first, last), all within an Integer<T>, the others zero; if there are any, the
// whole vector is readable.
template <class T>
FASTCONV_INLINE vec<T> load_between(const T* p, index_t at, index_t first, index_t last) {
    using Integer = typename integer_of<T>::type;
    ivec<T> place;
    FASTCONV_UNROLL for (int i = 0; i < lanes<T>; ++i) place[i] = i;
    place += static_cast<Integer>(at);
    const ivec<T> begin = ivec<T>{} + static_cast<Integer>(first), end = ivec<T>{} + static_cast<Integer>(last);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
        const __mmask16 reached = _mm512_cmpge_epi32_mask((__m512i)place, (__m512i)begin);
        return (vec<T>)_mm512_maskz_loadu_ps(_mm512_mask_cmplt_epi32_mask(reached, (__m512i)place, (__m512i)end), p);
    } else {
        const __mmask8 reached = _mm512_cmpge_epi64_mask((__m512i)place, (__m512i)begin);
        return (vec<T>)_mm512_maskz_loadu_pd(_mm512_mask_cmplt_epi64_mask(reached, (__m512i)place, (__m512i)end), p);
    }
#else
    if (first >= at + lanes<T> || last <= at) return vec<T>{};
    return (place >= begin) & (place < end) ? load(p) : vec<T>{};
#endif
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
