// Vectors whose width follows the instruction-set level this file is compiled for.
//
// Arithmetic, comparison and selection are the compiler's own vector operators (GCC and Clang vector
// extensions): a + b, a * b, mask ? a : b. What they cannot say (partial loads and stores, reinterpretation)
// stands here once, as intrinsics where the compiler's own code is poor. Kernels hold no intrinsics.
//
// Everything sits in a namespace of the level and in an anonymous one, so that no wide instruction can be
// shared with a caller of another level through a weak symbol.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef FASTCONV_LEVEL
#error "kernels are compiled once per level: define FASTCONV_LEVEL"
#endif

#define FASTCONV_INLINE inline __attribute__((always_inline))
#define FASTCONV_UNROLL _Pragma("GCC unroll 32")

namespace fastconv::FASTCONV_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
constexpr int vector_registers = 32;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
constexpr int vector_registers = 16;
#elif defined(__aarch64__)
constexpr int vector_bytes = 16;
constexpr int vector_registers = 32;
#else
constexpr int vector_bytes = 16;
constexpr int vector_registers = 16;
#endif

template <class T>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
struct vec_of {
    typedef T type __attribute__((vector_size(vector_bytes)));
    typedef T unaligned __attribute__((vector_size(vector_bytes), aligned(sizeof(T)), may_alias));
};
template <class T>
using vec = typename vec_of<T>::type;

// The integer of the same size as T: what a comparison of vec<T> gives.
template <class T>
struct integer_of;
template <>
struct integer_of<float> {
    using type = std::int32_t;
};
template <>
struct integer_of<double> {
    using type = std::int64_t;
};
template <class T>
using ivec = vec<typename integer_of<T>::type>;

template <class T>
FASTCONV_INLINE vec<T> load(const T* p) {
    return *reinterpret_cast<const typename vec_of<T>::unaligned*>(p);
}

template <class T>
FASTCONV_INLINE void store(T* p, vec<T> v) {
    *reinterpret_cast<typename vec_of<T>::unaligned*>(p) = v;
}

template <class T>
FASTCONV_INLINE vec<T> broadcast(T s) {
    return vec<T>{} + s;
}

// max(v, floor); NaN in v stays NaN.
template <class T>
FASTCONV_INLINE vec<T> at_least(vec<T> v, vec<T> floor) {
    return v < floor ? floor : v;
}

// The first `n` lanes, 0 <= n <= lanes; no other byte is touched. The rest of a load is zero.
#if defined(__AVX512F__)
FASTCONV_INLINE vec<float> load_first(const float* p, int n) {
    return (vec<float>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
}
FASTCONV_INLINE vec<double> load_first(const double* p, int n) {
    return (vec<double>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1u), p);
}
FASTCONV_INLINE void store_first(float* p, vec<float> v, int n) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), (__m512)v);
}
FASTCONV_INLINE void store_first(double* p, vec<double> v, int n) {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1u), (__m512d)v);
}
#else
template <class T>
FASTCONV_INLINE vec<T> load_first(const T* p, int n) {
    alignas(vector_bytes) T copy[lanes<T>] = {};
    for (int i = 0; i < n; ++i) copy[i] = p[i];
    return load(copy);
}
template <class T>
FASTCONV_INLINE void store_first(T* p, vec<T> v, int n) {
    alignas(vector_bytes) T copy[lanes<T>];
    store(copy, v);
    for (int i = 0; i < n; ++i) p[i] = copy[i];
}
#endif

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
