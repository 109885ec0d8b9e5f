// Matrix transposition in V x V blocks held in V registers, V lanes to a vector: log2(V) rounds in which row i and
// row i + V/2 are interleaved into rows 2i and 2i + 1.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

template <class T>
struct Interleave {
    ivec<T> low, high;  // lanes of (a, b) that make a0 b0 a1 b1 ... and the upper half of the same
    FASTCONV_INLINE Interleave() {
        FASTCONV_UNROLL for (int i = 0; i < lanes<T>; ++i) {
            low[i] = i / 2 + (i % 2) * lanes<T>;
            high[i] = low[i] + lanes<T> / 2;
        }
    }
};

FASTCONV_INLINE vec<float> pick(vec<float> a, vec<float> b, ivec<float> which) {
#if defined(__clang__) && defined(__AVX512F__)
    return (vec<float>)_mm512_permutex2var_ps((__m512)a, (__m512i)which, (__m512)b);
#elif defined(__clang__)
    vec<float> r;
    FASTCONV_UNROLL for (int i = 0; i < lanes<float>; ++i) r[i] =
        which[i] < lanes<float> ? a[which[i]] : b[which[i] - lanes<float>];
    return r;
#else
    return __builtin_shuffle(a, b, which);
#endif
}
FASTCONV_INLINE vec<double> pick(vec<double> a, vec<double> b, ivec<double> which) {
#if defined(__clang__) && defined(__AVX512F__)
    return (vec<double>)_mm512_permutex2var_pd((__m512d)a, (__m512i)which, (__m512d)b);
#elif defined(__clang__)
    vec<double> r;
    FASTCONV_UNROLL for (int i = 0; i < lanes<double>; ++i) r[i] =
        which[i] < lanes<double> ? a[which[i]] : b[which[i] - lanes<double>];
    return r;
#else
    return __builtin_shuffle(a, b, which);
#endif
}

template <class T>
FASTCONV_INLINE void transpose_block(const T* in, index_t in_stride, T* out, index_t out_stride) {
    constexpr int V = lanes<T>;
    const Interleave<T> interleave;
    vec<T> row[V], next[V];
    FASTCONV_UNROLL for (int i = 0; i < V; ++i) row[i] = load(in + i * in_stride);
    FASTCONV_UNROLL for (int size = 1; size < V; size *= 2) {
        FASTCONV_UNROLL for (int i = 0; i < V / 2; ++i) {
            next[2 * i] = pick(row[i], row[i + V / 2], interleave.low);
            next[2 * i + 1] = pick(row[i], row[i + V / 2], interleave.high);
        }
        FASTCONV_UNROLL for (int i = 0; i < V; ++i) row[i] = next[i];
    }
    FASTCONV_UNROLL for (int i = 0; i < V; ++i) store(out + i * out_stride, row[i]);
}

template <class T>
void transpose(index_t rows, index_t columns, const T* in, index_t in_stride, T* out, index_t out_stride) noexcept {
    constexpr int V = lanes<T>;
    const index_t block_rows = rows - rows % V, block_columns = columns - columns % V;
    for (index_t r = 0; r < block_rows; r += V)
        for (index_t c = 0; c < block_columns; c += V)
            transpose_block(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
    for (index_t r = 0; r < rows; ++r)
        for (index_t c = r < block_rows ? block_columns : 0; c < columns; ++c)
            out[c * out_stride + r] = in[r * in_stride + c];
}

}  // namespace

void register_transpose(Kernels& table) noexcept {
    table.f32.transpose = transpose<float>;
    table.f64.transpose = transpose<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
