// The patches of few input channels, transformed in the first-level cache (WinogradPatches in table.hpp).
//
// B^T d B is made of whole vectors along a row of the image, whatever pixel and channel a lane is, first in that
// direction and then across the four rows: 16 loads, 32 additions and 16 stores for a vector. Every other pixel
// begins no patch; what is computed for it is not read.
#pragma once

#include "kernels/table.hpp"
#include "kernels/winograd_transforms.hpp"
#include "simd/partial.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

constexpr index_t patches_at_once = 16;

// Of at most `Most` channels; v[position][pixel of the row][channel].
template <class T, int Most>
struct TransformedPatches {
    static constexpr int size = 2 * static_cast<int>(patches_at_once) * Most;
    alignas(vector_bytes) T v[16][size];

    // Not inline: all kernels share it.
    __attribute__((noinline)) void transform(const kernels::WinogradPatches<T>& op, index_t first, index_t count) {
        const index_t channels = Most == 1 ? 1 : op.channels, row_size = op.width * channels;
        const T* rows[4];  // null outside
        FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
            const bool inside = op.row + p >= 0 && op.row + p < op.height;
            rows[p] = inside ? op.x + (op.row + p) * op.row_stride : nullptr;
        }
        for (index_t i = 0; i < 2 * count * channels; i += lanes<T>) {
            const index_t at = (op.column + 2 * first) * channels + i;
            if (at >= 0 && at + 3 * channels + lanes<T> <= row_size) {
                transform_vector(rows, at, channels, i, [](const T* x, int) { return load(x); });
            } else {
                mask<T> inside[4];
                FASTCONV_UNROLL for (int q = 0; q < 4; ++q) inside[q] =
                    lanes_between<T>(-at - q * channels, row_size - at - q * channels);
                transform_vector(rows, at, channels, i, [&](const T* x, int q) { return load_where(inside[q], x); });
            }
        }
    }

  private:
    template <class Load>
    FASTCONV_INLINE void transform_vector(const T* const (&rows)[4], index_t at, index_t channels, index_t i,
                                          const Load& load_column) {
        vec<T> t[4][4];
        FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
            vec<T> d[4] = {};
            if (rows[p])
                FASTCONV_UNROLL for (int q = 0; q < 4; ++q) d[q] = load_column(rows[p] + at + q * channels, q);
            input_column<T>(d, t[p]);
        }
        FASTCONV_UNROLL for (int q = 0; q < 4; ++q) {
            const vec<T> column[4] = {t[0][q], t[1][q], t[2][q], t[3][q]};
            vec<T> out[4];
            input_column<T>(column, out);
            FASTCONV_UNROLL for (int p = 0; p < 4; ++p) store(v[4 * p + q] + i, out[p]);
        }
    }
};

// body(first, count, transformed) for the patches of a row, as many at once as there is room for, as equal as can be.
template <class T, int Most, class Body>
FASTCONV_INLINE void for_patches(const kernels::WinogradPatches<T>& op, const Body& body) {
    TransformedPatches<T, Most> transformed;
    for (index_t first = 0, count; first < op.tiles; first += count) {
        const index_t left = op.tiles - first, groups = (left + patches_at_once - 1) / patches_at_once;
        count = (left + groups - 1) / groups;
        transformed.transform(op, first, count);
        body(first, count, transformed);
    }
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
