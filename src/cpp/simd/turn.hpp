// Columns of a row-major matrix as vectors: V = lanes rows at a time, turned in registers.
#pragma once

#include "common.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// In each of V / n pieces, element j of row[i] becomes element i of row[j], in log2(n) rounds in which row i and row
// i + n/2 are interleaved into rows 2i and 2i + 1.
template <class T, int n>
FASTCONV_INLINE void turn(vec<T> (&row)[n]) {
    vec<T> next[n];
    FASTCONV_UNROLL for (int size = 1; size < n; size *= 2) {
        FASTCONV_UNROLL for (int i = 0; i < n / 2; ++i) {
            next[2 * i] = interleave<n, T>(row[i], row[i + n / 2], false);
            next[2 * i + 1] = interleave<n, T>(row[i], row[i + n / 2], true);
        }
        FASTCONV_UNROLL for (int i = 0; i < n; ++i) row[i] = next[i];
    }
}

// V rows of a matrix, some columns at once. Of the V rows `rows` are there; the last one stands in for the others.
template <class T, bool all_rows>
struct RowsToTurn {
    static constexpr int V = lanes<T>, n = piece_lanes<T>;
    const T* in;
    index_t stride, rows;

    // column[i] is column `first + i` of the rows.
    FASTCONV_INLINE void load_turned(index_t first, vec<T> (&column)[n]) const {
        if constexpr (all_rows) {
            // x86 adds one or two strides to an address by itself; a fourth row has its own.
            const T* start[V / n];
            FASTCONV_UNROLL for (int piece = 0; piece < V / n; ++piece) start[piece] =
                in + n * piece * stride + first;
            const index_t three = 3 * stride;
            FASTCONV_UNROLL for (int i = 0; i < n; ++i) column[i] =
                load_pieces<T>([&](int piece) { return start[piece] + (i == 3 ? three : i * stride); });
        } else {
            FASTCONV_UNROLL for (int i = 0; i < n; ++i) column[i] = load_pieces<T>([&](int piece) {
                const index_t r = n * piece + i;
                return in + (r < rows ? r : rows - 1) * stride + first;
            });
        }
        turn<T, n>(column);
    }
    // As many columns as rows, each row loaded once; all rows are there.
    FASTCONV_INLINE void load_turned_square(index_t first, vec<T> (&column)[V]) const {
        FASTCONV_UNROLL for (int i = 0; i < V; ++i) column[i] = load(in + i * stride + first);
        turn<T, V>(column);
    }
};

// Whether squares are the faster way. Rows a multiple of half a page apart have so few places in the first-level
// cache that pieces of them would be driven out before the next is read. 64 rows of 256, AVX-512 on Zen 4: 0.75
// cycles an element by pieces, 0.59 by squares; with rows elsewhere 0.36 and 0.43.
template <class T>
FASTCONV_INLINE bool by_squares(index_t stride) {
    constexpr bool one_shuffle_interleaves = vector_bytes == 64;
    return one_shuffle_interleaves && stride % (2048 / static_cast<index_t>(sizeof(T))) == 0;
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
