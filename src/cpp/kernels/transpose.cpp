// Matrix transposition in V x V blocks held in V registers, V lanes to a vector: log2(V) rounds in which row i and
// row i + V/2 are interleaved into rows 2i and 2i + 1.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

template <class T>
FASTCONV_INLINE void transpose_block(const T* in, index_t in_stride, T* out, index_t out_stride) {
    constexpr int V = lanes<T>;
    vec<T> row[V], next[V];
    FASTCONV_UNROLL for (int i = 0; i < V; ++i) row[i] = load(in + i * in_stride);
    FASTCONV_UNROLL for (int size = 1; size < V; size *= 2) {
        FASTCONV_UNROLL for (int i = 0; i < V / 2; ++i) {
            next[2 * i] = interleave_low<T>(row[i], row[i + V / 2]);
            next[2 * i + 1] = interleave_high<T>(row[i], row[i + V / 2]);
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
