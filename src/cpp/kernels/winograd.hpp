// The part of the kernel table for Winograd's convolution; kernels/table.hpp says what holds for all kernels.
#pragma once

#include <cstdint>

#include "common.hpp"

namespace fastconv::kernels {

// Winograd F(2x2, 3x3), Lavin and Gray, arXiv:1509.09308. With the transforms of winograd_transforms.hpp, a 2x2 tile
// of outputs is
//   Y = A^T [sum over c of (G g G^T) * (B^T d B)] A,  * elementwise on 4x4,
// d the 4x4 patch of inputs, g the 3x3 taps. Transformed arrays hold the 16 positions `position_stride` apart.
// `channels` and `columns` that lie side by side are multiples of `lanes`.
//
// F(4x4, 3x3), where WinogradTransforms says so, has 4x4 outputs, 6x6 inputs and 36 positions. In what follows
// `outputs` is 2 or 4.

// v[position][n][c], patches [n][c] dense, of `tiles` patches, `outputs` pixels apart:
//   d[p][q] = x[(row + p) * row_stride + (column + outputs * n + q) * pixel_stride + c], 0 outside height x width
//   pixels
template <class T>
struct WinogradInput {
    const T* x;
    index_t height, width;
    index_t row_stride, pixel_stride;
    index_t row, column;
    index_t tiles, channels;
    T* v;
    index_t position_stride;
};

// u[block][position][c][width] of taps g[(3r + s) * tap_stride + c * channel_stride + k], k < columns; width divides
// columns into blocks for BatchReduce. flip: taps in reverse order. `stream`: u, whole lines that lie on lines of the
// cache, goes to memory past the caches.
template <class T>
struct WinogradWeights {
    const T* g;
    index_t tap_stride, channel_stride;
    index_t channels, columns, width;
    bool flip;
    T* u;
    index_t position_stride, block_stride;
    bool stream;
};

// y[n * y_stride + k] and codes (as ConvPoolStrip) of `tiles` windows whose outputs are the tiles of
// m[position][n][k], dense.
template <class T>
struct WinogradPool {
    const T* m;
    index_t position_stride;
    index_t tiles, columns;
    const T* bias;
    Activation activation;
    T* y;
    std::uint8_t* codes;
    index_t y_stride;
};

// The same from v and from u[k / lanes][position][c][k % lanes].
template <class T>
struct WinogradConvPool {
    const T* v;
    index_t v_position_stride;
    index_t tiles, channels;
    const T* u;
    index_t u_position_stride, u_block_stride;
    index_t columns;
    const T* bias;
    Activation activation;
    T* y;
    std::uint8_t* codes;
    index_t y_stride;
};

// y[p * row_stride + (outputs * n + q) * pixel_stride + k] = activation(bias[k] + Y[p][q]) for the tiles n of
// m[position][n][k], dense, as far as p < height and outputs * n + q < width; 1 <= height, 1 <= width.
template <class T>
struct WinogradOutput {
    const T* m;
    index_t position_stride;
    index_t tiles, columns;
    const T* bias;  // may be null
    Activation activation;
    T* y;
    index_t height, width;
    index_t row_stride, pixel_stride;
};

template <class T>
struct WinogradTransforms {
    int outputs;  // of a tile, along each axis
    void (*input)(const WinogradInput<T>&) noexcept;
    void (*weights)(const WinogradWeights<T>&) noexcept;
    bool (*output)(const WinogradOutput<T>&) noexcept;  // false if some Y is not finite
};

// The kernel gradient of 2x2 tiles is G^T [sum over tiles of (A g A^T) * (B^T d B)] G, g the 2x2 gradients of Y.
// Their transform takes WinogradInput with g for d, p and q < 2.

// dw[(3r + t) * tap_stride + c * channel_stride + k] = (G^T S G)[r][t] of S[position][c][k], dense, k < columns;
// `stream` as WinogradWeights.
template <class T>
struct WinogradKernel {
    const T* s;
    index_t position_stride;
    index_t channels, columns;
    T* dw;
    index_t tap_stride, channel_stride;
    bool stream;
};

// The same for at most few_channels, from image to result at once: a row of `tiles` patches, 2 pixels apart, of an
// image whose pixels are dense; d[p][q] is that of WinogradInput.
constexpr int few_channels = 4;
template <class T>
struct WinogradPatches {
    const T* x;
    index_t height, width;
    index_t row_stride;
    index_t row, column;
    index_t tiles;
    int channels;
};

// activation(Y + bias) of patches, with u as WinogradConvPool has it.
template <class T>
struct WinogradFew {
    WinogradPatches<T> patches;
    const T* u;
    index_t u_position_stride, u_block_stride;
    index_t columns;
    const T* bias;  // may be null
    Activation activation;
};

// y and codes as WinogradPool. No sum may overflow or be NaN.
template <class T>
struct WinogradFewPool {
    WinogradFew<T> sums;
    T* y;
    std::uint8_t* codes;
    index_t y_stride;
};

// y as WinogradOutput; `stream` as BatchReduce.
template <class T>
struct WinogradFewOutput {
    WinogradFew<T> sums;
    T* y;
    index_t height, width;
    index_t row_stride, pixel_stride;
    bool stream;
};

// s[position][c][k] += sum over the patches of (B^T d B) * (A g A^T), g[p][q] = grad[p * grad_row_stride + (2n + q) *
// grad_pixel_stride + k] as far as p < grad_height and 2n + q < grad_width, else 0; channels and columns dense.
template <class T>
struct WinogradFewGradient {
    WinogradPatches<T> patches;
    const T* grad;
    index_t grad_height, grad_width;
    index_t grad_row_stride, grad_pixel_stride;
    index_t columns;
    T* s;
    index_t position_stride;
};

// z[i * z_stride + n] = sum over k < depth of u[k][i] * G[position of i][k][n] for tiles n, whole vectors of them,
// and entries i, in the order of positions, where G = A g A^T of
//   g[p][q][k][n] = grad[(2p + q) * position_stride + k * grad_stride + n]
// but without the sign of A's last row, which u takes. u is dense, channels at most few_channels. A position has as
// many entries a channel as its row and column have products: of stride 1 one, of stride 2, by parts
// (winograd_parts.hpp), 2, 1, 0 and 2.
template <class T>
struct WinogradFewInputGradient {
    const T* grad;
    index_t position_stride, grad_stride;
    const T* u;
    index_t depth, tiles;
    int channels, stride;
    T* z;
    index_t z_stride;
};

}  // namespace fastconv::kernels
