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

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
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

// A store to an aligned address that goes past the caches, where the level has one; stream_fence() puts what was
// streamed before it in order with what other threads are told after it.
#if defined(__AVX512F__)
FASTCONV_INLINE void stream(float* p, vec<float> v) { _mm512_stream_ps(p, (__m512)v); }
FASTCONV_INLINE void stream(double* p, vec<double> v) { _mm512_stream_pd(p, (__m512d)v); }
FASTCONV_INLINE void stream_fence() { _mm_sfence(); }
#elif defined(__AVX2__)
FASTCONV_INLINE void stream(float* p, vec<float> v) { _mm256_stream_ps(p, (__m256)v); }
FASTCONV_INLINE void stream(double* p, vec<double> v) { _mm256_stream_pd(p, (__m256d)v); }
FASTCONV_INLINE void stream_fence() { _mm_sfence(); }
#else
template <class T>
FASTCONV_INLINE void stream(T* p, vec<T> v) {
    store(p, v);
}
FASTCONV_INLINE void stream_fence() {}
#endif

// Asks for what is used later than the first cache would hold it.
FASTCONV_INLINE void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }

template <class T>
FASTCONV_INLINE void store_or_stream(T* p, vec<T> v, bool past_caches) {
    past_caches ? stream(p, v) : store(p, v);
}

// GCC 12 otherwise makes a load that serves two or three operations an operand of each of them: as many loads.
template <class V>
FASTCONV_INLINE void keep_in_register(V& v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#elif defined(__SSE2__)
    asm("" : "+x"(v));
#else
    asm("" : "+w"(v));
#endif
}

template <class T>
FASTCONV_INLINE vec<T> broadcast(T s) {
    return vec<T>{} + s;
}

// a > b ? a : b: if one is NaN, b. GCC 12 does not make one instruction of it by itself.
#if defined(__AVX512F__)
FASTCONV_INLINE vec<float> larger(vec<float> a, vec<float> b) {
    return (vec<float>)_mm512_max_ps((__m512)a, (__m512)b);
}
FASTCONV_INLINE vec<double> larger(vec<double> a, vec<double> b) {
    return (vec<double>)_mm512_max_pd((__m512d)a, (__m512d)b);
}
#else
template <class V>
FASTCONV_INLINE V larger(V a, V b) {
    return a > b ? a : b;
}
#endif

#if defined(__AVX512F__)
FASTCONV_INLINE vec<float> square_root(vec<float> v) { return (vec<float>)_mm512_sqrt_ps((__m512)v); }
FASTCONV_INLINE vec<double> square_root(vec<double> v) { return (vec<double>)_mm512_sqrt_pd((__m512d)v); }
#elif defined(__AVX2__)
FASTCONV_INLINE vec<float> square_root(vec<float> v) { return (vec<float>)_mm256_sqrt_ps((__m256)v); }
FASTCONV_INLINE vec<double> square_root(vec<double> v) { return (vec<double>)_mm256_sqrt_pd((__m256d)v); }
#elif defined(__SSE2__)
FASTCONV_INLINE vec<float> square_root(vec<float> v) { return (vec<float>)_mm_sqrt_ps((__m128)v); }
FASTCONV_INLINE vec<double> square_root(vec<double> v) { return (vec<double>)_mm_sqrt_pd((__m128d)v); }
#else
FASTCONV_INLINE vec<float> square_root(vec<float> v) { return (vec<float>)vsqrtq_f32((float32x4_t)v); }
FASTCONV_INLINE vec<double> square_root(vec<double> v) { return (vec<double>)vsqrtq_f64((float64x2_t)v); }
#endif

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

// Comparisons whose result is combined or counted rather than used once: a mask register where the level has them.
#if defined(__AVX512F__)
template <class T>
struct mask_of;
template <>
struct mask_of<float> {
    using type = __mmask16;
};
template <>
struct mask_of<double> {
    using type = __mmask8;
};
FASTCONV_INLINE __mmask16 greater(vec<float> a, vec<float> b) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
}
FASTCONV_INLINE __mmask8 greater(vec<double> a, vec<double> b) {
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ);
}
template <class T>
using mask = typename mask_of<T>::type;
template <class T>
FASTCONV_INLINE mask<T> choose(mask<T> condition, mask<T> a, mask<T> b) {
    return static_cast<mask<T>>((condition & a) | (~condition & b));
}
#else
template <class T>
using mask = ivec<T>;
template <class V>
FASTCONV_INLINE auto greater(V a, V b) {
    return a > b;
}
template <class T>
FASTCONV_INLINE mask<T> choose(mask<T> condition, mask<T> a, mask<T> b) {
    return condition ? a : b;
}
#endif

// Lane i of what follows is true where bit i of the mask is.
#if defined(__AVX512F__)
template <class M>
FASTCONV_INLINE unsigned mask_bits(M m) {
    return m;
}
FASTCONV_INLINE __mmask16 equal(ivec<float> a, ivec<float> b) {
    return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b);
}
FASTCONV_INLINE __mmask8 equal(ivec<double> a, ivec<double> b) {
    return _mm512_cmpeq_epi64_mask((__m512i)a, (__m512i)b);
}
FASTCONV_INLINE __mmask16 different(vec<float> a, vec<float> b) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_NEQ_UQ);
}
FASTCONV_INLINE __mmask8 different(vec<double> a, vec<double> b) {
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_NEQ_UQ);
}
FASTCONV_INLINE vec<float> zero_unless(__mmask16 m, vec<float> v) {
    return (vec<float>)_mm512_maskz_mov_ps(m, (__m512)v);
}
FASTCONV_INLINE vec<double> zero_unless(__mmask8 m, vec<double> v) {
    return (vec<double>)_mm512_maskz_mov_pd(m, (__m512d)v);
}
#else
template <class V>
FASTCONV_INLINE auto equal(V a, V b) {
    return a == b;
}
template <class V>
FASTCONV_INLINE auto different(V a, V b) {
    return a != b;
}
template <class M, class V>
FASTCONV_INLINE V zero_unless(M m, V v) {
    return m ? v : V{};
}
#if defined(__AVX2__)
FASTCONV_INLINE unsigned mask_bits(ivec<float> m) { return static_cast<unsigned>(_mm256_movemask_ps((__m256)m)); }
FASTCONV_INLINE unsigned mask_bits(ivec<double> m) { return static_cast<unsigned>(_mm256_movemask_pd((__m256d)m)); }
#else
template <class M>
FASTCONV_INLINE unsigned mask_bits(M m) {
    unsigned bits = 0;
    for (unsigned i = 0; i < sizeof(M) / sizeof(m[0]); ++i) bits |= (static_cast<unsigned>(m[i]) & 1u) << i;
    return bits;
}
#endif
#endif

// Of four values each lane picks one by the two lowest bits of its number.
template <class T>
FASTCONV_INLINE vec<T> pick_of_four(const T* p, ivec<T> number) {
    const ivec<T> odd = (number & 1) != 0, upper = (number & 2) != 0;
    const vec<T> low = odd ? broadcast(p[1]) : broadcast(p[0]);
    const vec<T> high = odd ? broadcast(p[3]) : broadcast(p[2]);
    return upper ? high : low;
}
#if defined(__AVX512F__)
FASTCONV_INLINE vec<float> pick_of_four(const float* p, ivec<float> number) {
    return (vec<float>)_mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(p)), (__m512i)number);
}
FASTCONV_INLINE vec<double> pick_of_four(const double* p, ivec<double> number) {
    const __m512d values = _mm512_broadcast_f64x4(_mm256_loadu_pd(p));
    return (vec<double>)_mm512_permutexvar_pd((__m512i)(number & 3), values);
}
#elif defined(__AVX2__)
FASTCONV_INLINE vec<float> pick_of_four(const float* p, ivec<float> number) {
    const __m256 values = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
    return (vec<float>)_mm256_permutevar_ps(values, (__m256i)number);
}
#endif

// Lanes of (a, b) by number, those of b counting from lanes<T>.
#if defined(__clang__)
template <class V, class I>
FASTCONV_INLINE V shuffle(V a, V b, I number) {
    constexpr int n = sizeof(V) / sizeof(a[0]);
    V picked;
    FASTCONV_UNROLL for (int i = 0; i < n; ++i) picked[i] = number[i] < n ? a[number[i]] : b[number[i] - n];
    return picked;
}
#else
template <class V, class I>
FASTCONV_INLINE V shuffle(V a, V b, I number) {
    return __builtin_shuffle(a, b, number);
}
#endif
#if defined(__AVX512F__)
// One instruction for any numbers; GCC 12 gets some constant ones of 8 lanes wrong.
FASTCONV_INLINE vec<float> pick(vec<float> a, vec<float> b, ivec<float> number) {
    return (vec<float>)_mm512_permutex2var_ps((__m512)a, (__m512i)number, (__m512)b);
}
FASTCONV_INLINE vec<double> pick(vec<double> a, vec<double> b, ivec<double> number) {
    return (vec<double>)_mm512_permutex2var_pd((__m512d)a, (__m512i)number, (__m512d)b);
}
#else
template <class V, class I>
FASTCONV_INLINE V pick(V a, V b, I number) {
    return shuffle(a, b, number);
}
#endif

// Vectors of pieces of 16 bytes, which is what every level can shuffle at once.
template <class T>
constexpr int piece_lanes = 16 / static_cast<int>(sizeof(T));

// Piece p comes from address_of(p).
template <class T, class AddressOf>
FASTCONV_INLINE vec<T> load_pieces(const AddressOf& address_of) {
#if defined(__AVX512F__)
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(reinterpret_cast<const float*>(address_of(0))));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(reinterpret_cast<const float*>(address_of(1))), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(reinterpret_cast<const float*>(address_of(2))), 2);
    return (vec<T>)_mm512_insertf32x4(v, _mm_loadu_ps(reinterpret_cast<const float*>(address_of(3))), 3);
#elif defined(__AVX2__)
    return (vec<T>)_mm256_loadu2_m128(reinterpret_cast<const float*>(address_of(1)),
                                      reinterpret_cast<const float*>(address_of(0)));
#else
    return load(address_of(0));
#endif
}

// Of each group of n lanes: a0 b0 a1 b1 ..., from the lower halves of a's and b's, or from the upper ones.
template <int n, class T>
FASTCONV_INLINE vec<T> interleave(vec<T> a, vec<T> b, bool upper) {
    ivec<T> number;
    FASTCONV_UNROLL for (int i = 0; i < lanes<T>; ++i) number[i] =
        i / n * n + (upper ? n / 2 : 0) + i % n / 2 + (i % 2) * lanes<T>;
    return shuffle(a, b, number);
}

// 64-bit lanes; products of their lower halves.
typedef std::uint64_t vec_u64 __attribute__((vector_size(vector_bytes)));
#if defined(__AVX512F__)
FASTCONV_INLINE vec_u64 multiply_low_halves(vec_u64 a, vec_u64 b) {
    return (vec_u64)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
FASTCONV_INLINE vec_u64 multiply_low_halves(vec_u64 a, vec_u64 b) {
    return (vec_u64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
#else
FASTCONV_INLINE vec_u64 multiply_low_halves(vec_u64 a, vec_u64 b) { return (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF); }
#endif

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
