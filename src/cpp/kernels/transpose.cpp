// Matrix transposition in V x V blocks, V lanes to a vector, and of few rows at a time.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// Pieces of V / n rows, n lanes each, are transposed at once, in log2(n) rounds in which row i and row i + n/2 are
// interleaved into rows 2i and 2i + 1.
template <class T>
FASTCONV_INLINE void transpose_block(const T* in, index_t in_stride, T* out, index_t out_stride) {
    constexpr int V = lanes<T>, n = piece_lanes<T>;
    // x86 adds one or two strides to an address by itself; a fourth row has its own.
    const T* first[V / n];
    FASTCONV_UNROLL for (int piece = 0; piece < V / n; ++piece) first[piece] = in + n * piece * in_stride;
    const index_t three = 3 * in_stride;
    FASTCONV_UNROLL for (int c = 0; c < V; c += n) {
        vec<T> row[n], next[n];
        FASTCONV_UNROLL for (int i = 0; i < n; ++i) row[i] =
            load_pieces<T>([&](int piece) { return first[piece] + (i == 3 ? three : i * in_stride) + c; });
        FASTCONV_UNROLL for (int size = 1; size < n; size *= 2) {
            FASTCONV_UNROLL for (int i = 0; i < n / 2; ++i) {
                next[2 * i] = interleave<n, T>(row[i], row[i + n / 2], false);
                next[2 * i + 1] = interleave<n, T>(row[i], row[i + n / 2], true);
            }
            FASTCONV_UNROLL for (int i = 0; i < n; ++i) row[i] = next[i];
        }
        FASTCONV_UNROLL for (int i = 0; i < n; ++i) store(out + (c + i) * out_stride, row[i]);
    }
}

// The transpose of few rows, dense: lane l of vector m is column (m * V + l) / Rows of row (m * V + l) % Rows.
template <class T, int Rows>
FASTCONV_INLINE void interleave_rows(index_t columns, const T* in, index_t in_stride, T* out) {
    constexpr int V = lanes<T>;
    index_t c = 0;
    for (; c + V <= columns; c += V) {
        FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) {
            vec<T> mixed = load(in + c);
            FASTCONV_UNROLL for (int row = 0; row < Rows; ++row) {
                ivec<T> number;
                FASTCONV_UNROLL for (int l = 0; l < V; ++l) {
                    const bool here = (m * V + l) % Rows == row;
                    number[l] = here ? (m * V + l) / Rows + (row > 0 ? V : 0) : l;
                }
                mixed = pick(mixed, load(in + row * in_stride + c), number);
            }
            store(out + c * Rows + m * V, mixed);
        }
    }
    for (; c < columns; ++c)
        for (int row = 0; row < Rows; ++row) out[c * Rows + row] = in[row * in_stride + c];
}

template <class T>
void transpose(index_t rows, index_t columns, const T* in, index_t in_stride, T* out, index_t out_stride) noexcept {
    constexpr int V = lanes<T>;
    if (out_stride == rows) {
        switch (rows) {
            case 2:
                return interleave_rows<T, 2>(columns, in, in_stride, out);
            case 3:
                return interleave_rows<T, 3>(columns, in, in_stride, out);
            case 4:
                return interleave_rows<T, 4>(columns, in, in_stride, out);
            case 6:
                return interleave_rows<T, 6>(columns, in, in_stride, out);
            default:
                break;
        }
    }
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
