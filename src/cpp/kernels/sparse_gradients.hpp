// The contract of the kernels for gradients of a convolution straight from the gradient behind its max pooling.
#pragma once

#include "common.hpp"

namespace fastconv::kernels {

constexpr std::uint8_t dead_code = 4;      // set in the code of a window that ReLU cut off
constexpr index_t windows_per_word = 32;   // of AliveWindows
constexpr index_t channels_per_word = 64;  // of SparseInputGradient

// The gradient at the windows of ConvPoolStrip, of which those count that are neither cut off (dead_code) nor zero.
// `windows` lie one after the other, `columns` (a multiple of `lanes`) values and codes each.

// Bit n % windows_per_word of words[n / windows_per_word * columns + k] says whether window n of column k counts;
// sums[k] += the gradients that do. Windows begin at places[n] of an image; patches[n * stride + k] is where the taps
// of the position begin that the code names, `right` and `below` away; kept[n * stride + k] is the gradient, or zero.
template <class T>
struct AliveWindows {
    const T* grad;
    const std::uint8_t* codes;
    index_t windows, columns;
    std::uint32_t* words;
    T* sums;
    const std::int32_t* places;
    std::int32_t right, below;
    std::uint32_t* patches;
    T* kept;
    index_t stride;
};

// dw[c / lanes][k][tap][c % lanes] (+)= sum over the windows n of column k that count, as `words` say, of
//   grad[n * stride + k] * x[patches[n * stride + k] + r * row_stride + s * channels + c]
// for 9 taps (r, s) and `channels` channels, a multiple of `lanes`.
template <class T>
struct SparseKernelGradient {
    const T* grad;
    const std::uint32_t* patches;
    index_t stride, windows, columns;
    const std::uint32_t* words;
    const T* x;
    index_t row_stride, channels;
    T* dw;
    bool accumulate;
};

// dx += sum over the columns k that count of grad * w[k][tap] at the pixel that the tap saw, for `rows` rows of
// `windows` windows of one image, whose patches of 4x4 pixels begin at dx + 2 * row * row_stride + 2 * n * channels.
// w[c / lanes][k][tap][c % lanes], `channels` a multiple of `lanes`; `words` holds 4 words for each window and
// channels_per_word columns.
template <class T>
struct SparseInputGradient {
    const T* grad;
    const std::uint8_t* codes;
    index_t rows, windows, columns;
    const T* w;
    index_t channels;
    T* dx;
    index_t row_stride;
    std::uint64_t* words;
};

// The same for few input channels and 3x3 or 5x5 taps, and `rows` rows of `windows` windows of one image, whose
// patches begin at x + 2 * row * row_stride + 2 * n * channels: dw[((r * taps + s) * channels + c) * columns + k] +=
// grad * the pixel that tap (r, s) saw from the output that the code names, sums[k] += grad. 2 * rows + taps - 1 rows
// of x are readable; quads holds 4 * (2 * rows + taps - 2) * (2 * windows + taps - 2).
template <class T>
struct SparsePixelGradient {
    const T* x;
    index_t row_stride, channels, taps;
    const T* grad;
    const std::uint8_t* codes;
    index_t rows, windows, columns;
    T* dw;
    T* sums;
    T* quads;
};

// The gradient of a row of windows (any number of columns), as a dense one has it: out[p * row_stride + (2n + q) *
// columns + k] = grad[n * columns + k] where that counts and the code is 2p + q, else 0; higher bits of codes than
// dead_code are not read.
template <class T>
struct SpreadWindows {
    const T* grad;
    const std::uint8_t* codes;
    index_t windows, columns;
    T* out;
    index_t row_stride;
};

}  // namespace fastconv::kernels
