// The part of the kernel table for Winograd by parts of a kernel; kernels/table.hpp says what holds for all kernels.
//
// Of a kernel of any size and stride, the taps that lie a multiple of the stride apart are cut into parts of 3, 2 and
// 1 (a decomposition as in arXiv:2002.00552). Along one axis a pair of outputs is then, summed over the parts,
//   y0 = m0 + m1 + m2,  y1 = m1 - m2 - m3
//   taps  m0             m1                         m2                         m3
//   3     (d0 - d2) g0   (d1 + d2) (g0 + g1 + g2)/2  (d2 - d1) (g0 - g1 + g2)/2  (d1 - d3) g2
//   2     (d0 - d1) g0   d1 (g0 + g1)                                            (d1 - d2) g1
//   1     d0 g0                                                                  d1 (-g0)
// with d the inputs that the part reads: F(2, 3), F(2, 2) and plain products. A 2x2 tile of outputs takes, for each
// of the 4x4 positions, the products of both axes' entries there, for each channel; all of a position are one sum.
#pragma once

#include <cstdint>

#include "common.hpp"

namespace fastconv::kernels {

// out[i * size + j] = x[pairs[i].a + j] + pairs[i].sign * x[pairs[i].b + j], j < size, a multiple of `lanes`.
template <class T>
struct Pair {
    std::int32_t a, b;
    T sign;
};
template <class T>
struct PairSums {
    const T* x;
    const Pair<T>* pairs;
    index_t count, size;
    T* out;
};

// y[p * row_stride + (2n + q) * pixel_stride + k] = activation(bias[k] + Y[p][q]) for tiles n <= parts_tiles, as far
// as p < height and 2n + q < width, where Y = A^T M A (winograd.hpp) of
//   M[position][n][k] = sum of v[i * parts_tiles + n] * u[(k / lanes * entries + i) * lanes + k % lanes]
// over the entries i of a position, depths[position] of them, which lie side by side in the order of positions.
// columns is a multiple of `lanes`; `stream` as in BatchReduce.
constexpr int parts_tiles = 16;
template <class T>
struct WinogradParts {
    const T* v;
    const T* u;
    const index_t* depths;
    index_t entries, tiles, columns;
    const T* bias;  // may be null
    Activation activation;
    T* y;
    index_t height, width;
    index_t row_stride, pixel_stride;
    bool stream;
};

}  // namespace fastconv::kernels
