// Matrix transposition, V rows at a time, V lanes to a vector; of few dense rows by shuffles of whole vectors.
#include "kernels/registration.hpp"
#include "simd/turn.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// Results of so many rows that their lines lie far apart, and of a size that no first cache holds, are asked for
// before they are written: else each store waits for its own line. 28x28x1 -> 64 in NCHW, batch 128, 22 MB turned
// from the cache in parts of 173 kB, 2 threads, medians of 8 runs: 1.20 instead of 1.65 ms.
constexpr index_t least_ahead_rows = 32, least_ahead_size = 32768;

template <class T, int count>
FASTCONV_INLINE void prefetch_ahead(T* out, index_t out_stride) {
    FASTCONV_UNROLL for (int i = 0; i < count; ++i) __builtin_prefetch(out + i * out_stride + 2 * lanes<T>, 1);
}

template <class T, bool all_rows, bool ahead>
FASTCONV_INLINE void transpose_columns(const RowsToTurn<T, all_rows>& in, index_t first, T* out, index_t out_stride) {
    constexpr int n = piece_lanes<T>;
    vec<T> column[n];
    in.load_turned(first, column);
    if constexpr (ahead) prefetch_ahead<T, n>(out + first * out_stride, out_stride);
    FASTCONV_UNROLL for (int i = 0; i < n; ++i) {
        if constexpr (all_rows)
            store(out + (first + i) * out_stride, column[i]);
        else
            store_first(out + (first + i) * out_stride, column[i], static_cast<int>(in.rows));
    }
}

template <class T, bool ahead>
FASTCONV_INLINE void transpose_square(const RowsToTurn<T, true>& in, index_t first, T* out, index_t out_stride) {
    constexpr int V = lanes<T>;
    vec<T> column[V];
    in.load_turned_square(first, column);
    if constexpr (ahead) prefetch_ahead<T, V>(out + first * out_stride, out_stride);
    FASTCONV_UNROLL for (int i = 0; i < V; ++i) store(out + (first + i) * out_stride, column[i]);
}

// At least as many columns as a piece has; the last ones are done twice where they do not fill one.
template <class T, bool all_rows, bool ahead = false>
void transpose_rows(index_t rows, index_t columns, const T* in, index_t in_stride, T* out, index_t out_stride) {
    constexpr int V = lanes<T>, n = piece_lanes<T>;
    const RowsToTurn<T, all_rows> turned{in, in_stride, rows};
    index_t c = 0;
    if constexpr (all_rows)
        if (by_squares<T>(in_stride))
            for (; c + V <= columns; c += V) transpose_square<T, ahead>(turned, c, out, out_stride);
    for (; c + n <= columns; c += n) transpose_columns<T, all_rows, ahead>(turned, c, out, out_stride);
    if (c < columns) transpose_columns<T, all_rows, ahead>(turned, columns - n, out, out_stride);
}

// The transpose of few rows, dense: lane l of vector m is column (m * V + l) / Rows of row (m * V + l) % Rows. An
// even number of rows is interleaved in pairs first, half of the columns at a time.
template <class T, int Rows>
FASTCONV_INLINE void interleave_rows(index_t columns, const T* in, index_t in_stride, T* out) {
    constexpr int V = lanes<T>, Pair = Rows % 2 == 0 ? 2 : 1, Sources = Rows / Pair;
    index_t c = 0;
    for (; c + V <= columns; c += V) {
        FASTCONV_UNROLL for (int half = 0; half < Pair; ++half) {
            vec<T> source[Sources];
            FASTCONV_UNROLL for (int i = 0; i < Sources; ++i) {
                source[i] = load(in + i * Pair * in_stride + c);
                if constexpr (Pair == 2)
                    source[i] = interleave<V, T>(source[i], load(in + (i * Pair + 1) * in_stride + c), half == 1);
            }
            FASTCONV_UNROLL for (int m = 0; m < Sources; ++m) {
                vec<T> mixed = source[0];
                FASTCONV_UNROLL for (int i = 1; i < Sources; ++i) {
                    ivec<T> number;
                    FASTCONV_UNROLL for (int l = 0; l < V; ++l) {
                        const int column = (m * V + l) / Rows, row = (m * V + l) % Rows;
                        const int place = column * Pair + row % Pair;
                        number[l] = row / Pair == i ? place + V : row / Pair == 0 && i == 1 ? place : l;
                    }
                    mixed = pick(mixed, source[i], number);
                }
                store(out + c * Rows + (half * Sources + m) * V, mixed);
            }
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
    const bool ahead = columns >= least_ahead_rows && rows * columns >= least_ahead_size;
    const auto transpose_whole = ahead ? transpose_rows<T, true, true> : transpose_rows<T, true>;
    index_t r = 0;
    for (; r + V <= rows; r += V) transpose_whole(V, columns, in + r * in_stride, in_stride, out + r, out_stride);
    if (r == rows) return;
    if (r > 0)  // some rows are done twice
        transpose_rows<T, true>(V, columns, in + (rows - V) * in_stride, in_stride, out + rows - V, out_stride);
    else
        transpose_rows<T, false>(rows, columns, in, in_stride, out, out_stride);
}

// A vector of columns at a time, so that an address of a row serves V / n pieces of it.
template <class T>
void turn_rows(const T* const* rows, index_t count, index_t columns, index_t ahead, T* out,
               index_t out_stride) noexcept {
    constexpr int V = lanes<T>, n = piece_lanes<T>, Pieces = V / n;
    for (index_t r = 0; r < count; r += V, rows += V) {
        for (index_t c = 0; c < columns; c += V) {
            vec<T> column[Pieces][n];
            FASTCONV_UNROLL for (int i = 0; i < n; ++i) {
                const T* from[Pieces];
                FASTCONV_UNROLL for (int piece = 0; piece < Pieces; ++piece) {
                    from[piece] = rows[n * piece + i] + c;
                    prefetch_far(from[piece] + ahead);
                }
                FASTCONV_UNROLL for (int part = 0; part < Pieces; ++part) column[part][i] =
                    load_pieces<T>([&](int piece) { return from[piece] + part * n; });
            }
            T* to = out + c * out_stride + r;
            FASTCONV_UNROLL for (int part = 0; part < Pieces; ++part) {
                turn<T, n>(column[part]);
                FASTCONV_UNROLL for (int i = 0; i < n; ++i, to += out_stride) store(to, column[part][i]);
            }
        }
    }
}

}  // namespace

void register_transpose(Kernels& table) noexcept {
    table.f32.transpose = transpose<float>;
    table.f64.transpose = transpose<double>;
    table.f32.turn_rows = turn_rows<float>;
    table.f64.turn_rows = turn_rows<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
