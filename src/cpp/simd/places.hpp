// Vectors of maxima and of where they were found: comparisons that know NaN, lanes chosen by masks, 64-bit places.
#pragma once

#include "simd/bytes.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

template <class T>
FASTCONV_INLINE ivec<T> lane_numbers() {
    ivec<T> number;
    FASTCONV_UNROLL for (int i = 0; i < lanes<T>; ++i) number[i] = i;
    return number;
}

// Where `value` is to replace `best`: value > best, or value is NaN; never where best is NaN.
// not (value <= best) is value > best, or either is NaN.
#if defined(__AVX512F__)
FASTCONV_INLINE mask<float> beats(vec<float> value, vec<float> best) {
    const mask<float> number = _mm512_cmp_ps_mask((__m512)best, (__m512)best, _CMP_ORD_Q);
    return _mm512_mask_cmp_ps_mask(number, (__m512)value, (__m512)best, _CMP_NLE_UQ);
}
FASTCONV_INLINE mask<double> beats(vec<double> value, vec<double> best) {
    const mask<double> number = _mm512_cmp_pd_mask((__m512d)best, (__m512d)best, _CMP_ORD_Q);
    return _mm512_mask_cmp_pd_mask(number, (__m512d)value, (__m512d)best, _CMP_NLE_UQ);
}
FASTCONV_INLINE vec<float> select(mask<float> m, vec<float> a, vec<float> b) {
    return (vec<float>)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a);
}
FASTCONV_INLINE vec<double> select(mask<double> m, vec<double> a, vec<double> b) {
    return (vec<double>)_mm512_mask_blend_pd(m, (__m512d)b, (__m512d)a);
}
FASTCONV_INLINE ivec<float> select(mask<float> m, ivec<float> a, ivec<float> b) {
    return (ivec<float>)_mm512_mask_blend_epi32(m, (__m512i)b, (__m512i)a);
}
FASTCONV_INLINE ivec<double> select(mask<double> m, ivec<double> a, ivec<double> b) {
    return (ivec<double>)_mm512_mask_blend_epi64(m, (__m512i)b, (__m512i)a);
}
#else
template <class V>
FASTCONV_INLINE auto beats(V value, V best) {
    return ~(value <= best) & (best == best);
}
template <class M, class V>
FASTCONV_INLINE V select(M m, V a, V b) {
    return m ? a : b;
}
#endif

// The lanes from `first` on, 0 <= first < lanes.
template <class T>
FASTCONV_INLINE mask<T> lanes_from(int first) {
#if defined(__AVX512F__)
    return static_cast<mask<T>>(~0u << first);
#else
    return lane_numbers<T>() >= static_cast<typename integer_of<T>::type>(first);
#endif
}

// Adds 1 where the mask is true.
template <class T>
FASTCONV_INLINE ivec<T> count_where(mask<T> m, ivec<T> count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return (ivec<T>)_mm512_mask_add_epi32((__m512i)count, m, (__m512i)count, _mm512_set1_epi32(1));
    else
        return (ivec<T>)_mm512_mask_add_epi64((__m512i)count, m, (__m512i)count, _mm512_set1_epi64(1));
#else
    return count - m;
#endif
}

// sum + value where the mask is true, else sum.
template <class T>
FASTCONV_INLINE vec<T> add_where(mask<T> m, vec<T> sum, vec<T> value) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return (vec<T>)_mm512_mask_add_ps((__m512)sum, m, (__m512)sum, (__m512)value);
    else
        return (vec<T>)_mm512_mask_add_pd((__m512d)sum, m, (__m512d)sum, (__m512d)value);
#else
    return sum + zero_unless(m, value);
#endif
}

// p[lane] = the lane, of which only the low byte is not zero.
template <class T>
FASTCONV_INLINE void store_bytes(std::uint8_t* p, ivec<T> v) {
#if defined(__AVX512F__)
    const __m128i bytes = sizeof(T) == 4 ? _mm512_cvtepi32_epi8((__m512i)v) : _mm512_cvtepi64_epi8((__m512i)v);
    __builtin_memcpy(p, &bytes, lanes<T>);
#else
    const typename bytes_of<T>::type bytes = __builtin_convertvector(v, typename bytes_of<T>::type);
    __builtin_memcpy(p, &bytes, sizeof(bytes));
#endif
}

// p[lane] = first + lane + offset[lane].
FASTCONV_INLINE void store_places(std::int64_t* p, index_t first, ivec<double> offset, bool past_caches) {
    const ivec<double> places = offset + (lane_numbers<double>() + first);
    store_or_stream(reinterpret_cast<double*>(p), (vec<double>)places, past_caches);
}
FASTCONV_INLINE void store_places(std::int64_t* p, index_t first, ivec<float> offset, bool past_caches) {
    constexpr int half = lanes<float> / 2;
    ivec<double> lower, upper;
#if defined(__AVX512F__)
    const __m512i both = (__m512i)offset;
    lower = (ivec<double>)_mm512_cvtepi32_epi64(_mm512_castsi512_si256(both));
    upper = (ivec<double>)_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(both, 1));
#elif defined(__AVX2__)
    const __m256i both = (__m256i)offset;
    lower = (ivec<double>)_mm256_cvtepi32_epi64(_mm256_castsi256_si128(both));
    upper = (ivec<double>)_mm256_cvtepi32_epi64(_mm256_extracti128_si256(both, 1));
#else
    // Little-endian: the lower half first, then 32 bits of sign.
    const vec<float> low = (vec<float>)offset, sign = (vec<float>)(offset < 0);
    lower = (ivec<double>)interleave<lanes<float>, float>(low, sign, false);
    upper = (ivec<double>)interleave<lanes<float>, float>(low, sign, true);
#endif
    store_places(p, first, lower, past_caches);
    store_places(p + half, first + half, upper, past_caches);
}

// For a vector of T.
template <class T>
FASTCONV_INLINE void prefetch_places(const std::int64_t* p) {
    prefetch_far(p);
    if constexpr (sizeof(T) < sizeof(std::int64_t)) prefetch_far(p + lanes<double>);
}

template <class T>
FASTCONV_INLINE ivec<T> load_places(const typename integer_of<T>::type* p) {
    return (ivec<T>)load(reinterpret_cast<const T*>(p));
}

// A vector of 64-bit places as wide as T: for float, negative where one has more than 31 bits.
template <class T>
FASTCONV_INLINE ivec<T> load_narrow(const std::int64_t* p) {
    if constexpr (sizeof(T) == 8) return load_places<T>(p);
    // Little-endian: even lanes are lower halves.
    const vec<float> first = (vec<float>)load_places<double>(p);
    const vec<float> second = (vec<float>)load_places<double>(p + lanes<double>);
    const ivec<float> even = 2 * lane_numbers<float>();
    const ivec<float> low = (ivec<float>)pick(first, second, even), high = (ivec<float>)pick(first, second, even + 1);
    return (ivec<T>)(low | (high != 0));
}

// The lower halves of 64-bit places if T is float, else the places; `bits` are those set in any, before that is cut.
template <class T>
FASTCONV_INLINE ivec<T> load_lower(const std::int64_t* p, ivec<T>& bits) {
    if constexpr (sizeof(T) == 8) return load_places<T>(p);
    vec<float> first = (vec<float>)load_places<double>(p),
               second = (vec<float>)load_places<double>(p + lanes<double>);
    keep_in_register(first);
    keep_in_register(second);
    bits |= (ivec<T>)((ivec<float>)first | (ivec<float>)second);
    return (ivec<T>)pick(first, second, 2 * lane_numbers<float>());
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
