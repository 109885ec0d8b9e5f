// Lanes as bytes and words in memory.
#pragma once

#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

template <class T>
struct bytes_of {
    typedef std::uint8_t type __attribute__((vector_size(lanes<T>)));
};

// p[lane] = 1 where one, + 2 where two, + 4 where four.
#if defined(__AVX512F__)
FASTCONV_INLINE __m128i bytes_of_bits(__mmask16 one, __mmask16 two, __mmask16 four) {
    const __m128i low = _mm_maskz_mov_epi8(one, _mm_set1_epi8(1));
    const __m128i middle = _mm_mask_add_epi8(low, two, low, _mm_set1_epi8(2));
    return _mm_mask_add_epi8(middle, four, middle, _mm_set1_epi8(4));
}
template <class T>
FASTCONV_INLINE void store_bits(std::uint8_t* p, mask<T> one, mask<T> two, mask<T> four) {
    const __m128i bytes = bytes_of_bits(one, two, four);
    __builtin_memcpy(p, &bytes, lanes<T>);
}
#else
template <class T>
FASTCONV_INLINE void store_bits(std::uint8_t* p, mask<T> one, mask<T> two, mask<T> four) {
    const ivec<T> bits = (one & 1) | (two & 2) | (four & 4);
#if defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
        const __m128i low = _mm256_castsi256_si128((__m256i)bits), high = _mm256_extracti128_si256((__m256i)bits, 1);
        const __m128i words = _mm_packs_epi32(low, high), bytes = _mm_packus_epi16(words, words);
        __builtin_memcpy(p, &bytes, lanes<T>);
        return;
    }
#endif
    const typename bytes_of<T>::type code = __builtin_convertvector(bits, typename bytes_of<T>::type);
    __builtin_memcpy(p, &code, sizeof(code));
}
#endif

// One byte for each lane. GCC 12 takes vectors of bytes apart in scalar registers.
#if defined(__AVX512F__) || defined(__AVX2__)
template <class T>
FASTCONV_INLINE ivec<T> load_bytes(const std::uint8_t* p) {
    __m128i bytes{};
    __builtin_memcpy(&bytes, p, lanes<T>);
#if defined(__AVX512F__)
    return sizeof(T) == 4 ? (ivec<T>)_mm512_cvtepu8_epi32(bytes) : (ivec<T>)_mm512_cvtepu8_epi64(bytes);
#else
    return sizeof(T) == 4 ? (ivec<T>)_mm256_cvtepu8_epi32(bytes) : (ivec<T>)_mm256_cvtepu8_epi64(bytes);
#endif
}
#else
template <class T>
FASTCONV_INLINE ivec<T> load_bytes(const std::uint8_t* p) {
    typename bytes_of<T>::type bytes;
    __builtin_memcpy(&bytes, p, sizeof(bytes));
    return __builtin_convertvector(bytes, ivec<T>);
}
#endif

// p[lane] = the lower half of a 64-bit lane, or the lane.
template <class T>
FASTCONV_INLINE void store_words(std::uint32_t* p, ivec<T> v) {
    typedef std::uint32_t words __attribute__((vector_size(4 * lanes<T>)));
    const words narrow = __builtin_convertvector(v, words);
    __builtin_memcpy(p, &narrow, sizeof(narrow));
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
