// Matrix transposition, V rows at a time, V lanes to a vector; of few dense rows by shuffles of whole vectors.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// Pieces of V / n rows, n lanes each, are transposed at once, in log2(n) rounds in which row i and row i + n/2 are
// interleaved into rows 2i and 2i + 1. Of the V rows `rows` are there; the last one stands in for the others.
template <class T, bool all_rows>
FASTCONV_INLINE void transpose_columns(index_t rows, const T* in, index_t in_stride, T* out, index_t out_stride) {
    constexpr int V = lanes<T>, n = piece_lanes<T>;
    vec<T> row[n], next[n];
    if constexpr (all_rows) {
        // x86 adds one or two strides to an address by itself; a fourth row has its own.
        const T* first[V / n];
        FASTCONV_UNROLL for (int piece = 0; piece < V / n; ++piece) first[piece] = in + n * piece * in_stride;
        const index_t three = 3 * in_stride;
        FASTCONV_UNROLL for (int i = 0; i < n; ++i) row[i] =
            load_pieces<T>([&](int piece) { return first[piece] + (i == 3 ? three : i * in_stride); });
    } else {
        FASTCONV_UNROLL for (int i = 0; i < n; ++i) row[i] = load_pieces<T>([&](int piece) {
            const index_t r = n * piece + i;
            return in + (r < rows ? r : rows - 1) * in_stride;
        });
    }
    FASTCONV_UNROLL for (int size = 1; size < n; size *= 2) {
        FASTCONV_UNROLL for (int i = 0; i < n / 2; ++i) {
            next[2 * i] = interleave<n, T>(row[i], row[i + n / 2], false);
            next[2 * i + 1] = interleave<n, T>(row[i], row[i + n / 2], true);
        }
        FASTCONV_UNROLL for (int i = 0; i < n; ++i) row[i] = next[i];
    }
    FASTCONV_UNROLL for (int i = 0; i < n; ++i) {
        if constexpr (all_rows)
            store(out + i * out_stride, row[i]);
        else
            store_first(out + i * out_stride, row[i], static_cast<int>(rows));
    }
}

// V columns, each row loaded once: rows a multiple of half a page apart have so few places in the first-level cache
// that pieces of them would be driven out before the next is read. 64 rows of 256, AVX-512 on Zen 4: 0.75 cycles an
// element by pieces, 0.59 so; with rows elsewhere 0.36 and 0.43.
template <class T>
FASTCONV_INLINE void transpose_square(const T* in, index_t in_stride, T* out, index_t out_stride) {
    constexpr int V = lanes<T>;
    vec<T> row[V], next[V];
    FASTCONV_UNROLL for (int i = 0; i < V; ++i) row[i] = load(in + i * in_stride);
    FASTCONV_UNROLL for (int size = 1; size < V; size *= 2) {
        FASTCONV_UNROLL for (int i = 0; i < V / 2; ++i) {
            next[2 * i] = interleave<V, T>(row[i], row[i + V / 2], false);
            next[2 * i + 1] = interleave<V, T>(row[i], row[i + V / 2], true);
        }
        FASTCONV_UNROLL for (int i = 0; i < V; ++i) row[i] = next[i];
    }
    FASTCONV_UNROLL for (int i = 0; i < V; ++i) store(out + i * out_stride, row[i]);
}

constexpr bool one_shuffle_interleaves = vector_bytes == 64;

// At least as many columns as a piece has; the last ones are done twice where they do not fill one.
template <class T, bool all_rows>
void transpose_rows(index_t rows, index_t columns, const T* in, index_t in_stride, T* out, index_t out_stride) {
    constexpr int V = lanes<T>, n = piece_lanes<T>;
    const auto at = [&](index_t c) {
        transpose_columns<T, all_rows>(rows, in + c, in_stride, out + c * out_stride, out_stride);
    };
    index_t c = 0;
    constexpr index_t few_places = 2048 / sizeof(T);
    if (all_rows && one_shuffle_interleaves && in_stride % few_places == 0)
        for (; c + V <= columns; c += V) transpose_square(in + c, in_stride, out + c * out_stride, out_stride);
    for (; c + n <= columns; c += n) at(c);
    if (c < columns) at(columns - n);
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
    if (rows == 0) return;
    if (columns < piece_lanes<T> || rows == 1) {
        for (index_t r = 0; r < rows; ++r)
            for (index_t c = 0; c < columns; ++c) out[c * out_stride + r] = in[r * in_stride + c];
        return;
    }
    index_t r = 0;
    for (; r + V <= rows; r += V)
        transpose_rows<T, true>(V, columns, in + r * in_stride, in_stride, out + r, out_stride);
    if (r == rows) return;
    if (r > 0)  // some rows are done twice
        transpose_rows<T, true>(V, columns, in + (rows - V) * in_stride, in_stride, out + rows - V, out_stride);
    else
        transpose_rows<T, false>(rows, columns, in, in_stride, out, out_stride);
}

}  // namespace

void register_transpose(Kernels& table) noexcept {
    table.f32.transpose = transpose<float>;
    table.f64.transpose = transpose<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
