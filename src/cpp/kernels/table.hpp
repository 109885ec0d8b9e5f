// The kernel table: all that the rest of the core knows of the code compiled for one instruction-set level.
//
// Kernels are serial, do not allocate and do not throw. Sizes, strides and offsets count elements. The caller
// has checked every argument; arrays are aligned to their elements only.
#pragma once

#include <cstddef>

#include "common.hpp"
#include "kernels/pooling_gradients.hpp"
#include "kernels/sparse_gradients.hpp"
#include "kernels/winograd.hpp"
#include "kernels/winograd_parts.hpp"

namespace fastconv::kernels {

// One batch-reduce product, the building block of convolution, its gradients and matmul:
//
//   C[m][n] = activation( [C[m][n] +] bias[n] + (S[m][n] + sum_{i < count} sum_{k < depth} A_i[m][k] * B_i[k][n]) )
//   A_i[m][k] = a[a_offsets[i] + m * a_row_stride + k * a_depth_stride]
//   B_i[k][n] = b[b_offsets[i] + (n / width) * b_block_stride + k * b_depth_stride + n % width]
//   C[m][n]   = c[m * c_row_stride + n]
//   S[m][n]   = start[m * c_row_stride + n], or zero without one: where an earlier product left off
//
// with width = block_vectors * lanes. B must be readable up to a whole vector beyond the last column. In the
// diagonal form A_i[m][k] is a vector too, indexed like B's columns ( + n ), and nothing is read beyond `columns`.
// Each C[m][n] is one chain of additions in the order of (i, k), whatever `rows` is. `stream`: C's rows, aligned to
// cache lines and without `accumulate`, go to memory past the caches.
template <class T>
struct BatchReduce {
    const T* a;
    index_t a_row_stride, a_depth_stride;
    const index_t* a_offsets;
    const T* b;
    index_t b_block_stride, b_depth_stride;
    const index_t* b_offsets;
    index_t count, depth;
    T* c;
    index_t c_row_stride;
    index_t rows, columns;
    int block_vectors;
    const T* start;  // may be null, may be c
    bool accumulate;
    const T* bias;  // may be null
    Activation activation;
    bool stream;
    bool from_memory;    // A, of one i and depth stride 1, and C are hardly in the cache: they are asked for early
    bool b_from_memory;  // B, of which `depth` more rows are used next, neither; seen to by tiles of one row alone
    // May be null: what the next product reads of B, `depth` rows of `columns`, likewise b_depth_stride apart, is
    // asked for meanwhile, row by row; by tiles of several rows and two vectors, of one block after the other in
    // place.
    const T* b_ahead;
};

// `rows` x `columns` windows of a depthwise convolution on one image x, `step` inputs apart: tap (r, s) of window (p,
// q) reads, if that is one of the image's height x width pixels,
//   x(p, q, r, s)[c] = x[(row + p * step + r) * row_stride + (column + q * step + s) * pixel_stride + c]
//
// Taps are 3x3, or at most 2x2 with a step of 1. Channels, at least `lanes`, fall into vectors that may overlap:
// vector i begins at i * lanes - shift, but not below 0 nor above channels - lanes; 0 <= shift < lanes. Those from
// first_vector to before last_vector are computed.
template <class T>
struct DepthwiseWindows {
    const T* x;
    index_t height, width;
    index_t row_stride, pixel_stride;
    index_t row, column, step;
    index_t tap_rows, tap_columns;
    index_t rows, columns;
    index_t channels, shift, first_vector, last_vector;
};

//   y[p * y_row_stride + q * y_pixel_stride + c] =
//       activation(bias[c] + sum over (r, s) of x(p, q, r, s)[c] * w[r][s][c])
//
// Each is one chain of additions in the order of (r, s), the bias last.
// Weights are packed: those of vector i, [tap][lane], are at weights[i * taps * lanes].
template <class T>
struct DepthwiseConv {
    DepthwiseWindows<T> windows;
    const T* weights;
    const T* bias;  // may be null
    Activation activation;
    T* y;
    index_t y_row_stride, y_pixel_stride;
};

// dw[r][s][c] += sum over (p, q) of x(p, q, r, s)[c] * grad[p * grad_row_stride + q * grad_pixel_stride + c] for 3x3
// taps, dw packed into `sums` as weights are above.
template <class T>
struct DepthwiseGradient {
    DepthwiseWindows<T> windows;
    const T* grad;
    index_t grad_row_stride, grad_pixel_stride;
    T* sums;
};

// For few columns, with the lanes along the sum:
//
//   C[m][n] = activation(bias[n] + sum_{k < depth} a[m * a_row_stride + k] * B[k][n])
//   C[m][n] = c[m * c_row_stride + n]
//   B[k][n] = b[n * b_stride + k] of inner_products
//   B[k][n] = b[k * columns + n]  of inner_products_in_place
//
// where nothing has to be transposed first, and which takes at most one and a half vectors of columns.
//
// Both give the same bits: lane l sums k = l, l + lanes, l + 2 lanes, ... in that order, then the upper half of the
// lanes is added to the lower until one is left.
template <class T>
struct InnerProducts {
    const T* a;
    index_t a_row_stride;
    const T* b;
    index_t b_stride;
    index_t rows, columns, depth;
    const T* bias;  // may be null
    Activation activation;
    T* c;
    index_t c_row_stride;
};

// Few rows of A times a transposed matrix, in the order of additions of batch_reduce in passes:
//
//   C[m][n] = activation(bias[n] + sum over passes of sum_{k of the pass} a[m * a_row_stride + k] * b[n * depth + k])
//   C[m][n] = c[m * c_row_stride + n]
//
// A pass is `pass` steps of k, the last one fewer. Each pass is one chain of additions by k; it is added to those
// before. 1 <= rows <= transposed_product_rows; depth and pass are at least transposed_product_depth.
constexpr int transposed_product_rows = 4;
constexpr index_t transposed_product_depth = 4;
template <class T>
struct TransposedProduct {
    const T* a;
    index_t a_row_stride;
    const T* b;
    index_t rows, columns, depth, pass;
    const T* bias;  // may be null
    Activation activation;
    T* c;
    index_t c_row_stride;
    bool from_memory;  // b is hardly in the cache: it is asked for early
};

// `pixels` windows of a pooling row that all have the same `taps`:
//   y[m * y_stride + c] = max (or sum / divisor) over i of x[m * x_stride + tap_offsets[i] + c]
// Max: argmax[m * y_stride + c] = origin + m * x_stride + tap_offsets[i] + c for the winning i; argmax may be null.
// The first maximum wins, and the first NaN above all. 1 <= taps < 2**31, by increasing offset; a sum may have none.
// codes, likewise, are the numbers i of the winning taps, at most 255.
// Max, for what is not in the caches: x[m * x_stride + ahead_offsets[i] + c], which a later strip reads, is asked
// for. What is streamed of y and argmax, aligned to cache lines as each pixel is, goes to memory past the caches.
template <class T>
struct PoolStrip {
    const T* x;
    index_t x_stride;
    const index_t* tap_offsets;
    index_t taps, divisor;
    index_t pixels, channels;
    T* y;
    index_t y_stride;
    std::int64_t* argmax;
    std::uint8_t* codes;
    index_t origin;
    const index_t* ahead_offsets;
    index_t ahead;  // of them
    bool stream_y, stream_argmax;
};

// A row of `windows` pooling windows of 2x2 outputs of a convolution (unit stride and dilation, no padding), pooled
// with stride 2; y[n * y_stride + k], k < columns, and its code likewise (codes may be null):
//   o[p][q] = bias[k] + sum_{r < tap_rows} sum_{d < depth} x[(p + r) * row_stride + (2n + q) * pixel_stride + d]
//                                                          * weights[(r * depth + d) * weight_stride + k]
//   y = activation(max of the 4 o), code = 2p + q of the first maximum, + 4 where ReLU cut it off
// with depth = taps of a row * channels. columns is a multiple of `lanes`.
// No sum may overflow or be NaN: that needs the slower rule of PoolStrip.
template <class T>
struct ConvPoolStrip {
    const T* x;
    index_t row_stride, pixel_stride;
    index_t tap_rows, depth;
    const T* weights;
    index_t weight_stride;
    const T* bias;
    Activation activation;
    index_t windows, columns;
    T* y;
    std::uint8_t* codes;
    index_t y_stride;
};

// y[i] = activation(start + sum over the terms with first <= i < last of x[offset + i]) for i < size, the last
// `subtracted` of the `count` terms being subtracted. x must be readable up to a whole vector before and beyond each
// term; size < 2**30.
struct ShiftedTerm {
    index_t offset, first, last;
};
template <class T>
struct ShiftedSum {
    const T* x;
    const ShiftedTerm* terms;
    index_t count, subtracted;
    T start;
    Activation activation;
    index_t size;
    T* y;
};

// momentum += (gradient - momentum) * momentum_rate, velocity += (gradient^2 - velocity) * velocity_rate,
// parameter -= momentum / (sqrt(velocity) + epsilon) * rate
// With largest_velocity, which may be null: it becomes the larger of the two and takes velocity's place in the last.
template <class T>
struct AdamStep {
    index_t size;
    const T* gradients;
    T* momentum;
    T* velocity;
    T* largest_velocity;
    T* parameters;
    T momentum_rate, velocity_rate, epsilon, rate;
};

constexpr int max_block_vectors = 4;

template <class T>
struct KernelsOf {
    int lanes;                         // of T in a vector
    int block_vectors;                 // the widest tile, in vectors
    int tile_rows[max_block_vectors];  // the most rows of a tile of 1, 2, ... vectors

    void (*batch_reduce)(const BatchReduce<T>&) noexcept;
    void (*batch_reduce_diagonal)(const BatchReduce<T>&) noexcept;

    void (*depthwise_conv)(const DepthwiseConv<T>&) noexcept;
    void (*depthwise_gradient)(const DepthwiseGradient<T>&) noexcept;
    int inner_product_rows;  // the most rows of a tile; 0, and no kernels, where batch_reduce is faster
    void (*inner_products)(const InnerProducts<T>&) noexcept;
    void (*inner_products_in_place)(const InnerProducts<T>&) noexcept;

    void (*transposed_product)(const TransposedProduct<T>&) noexcept;
    // c[m * columns + n] = 0 + a[m] * b[n], rows x columns; `stream`: c, aligned to cache lines, goes past the
    // caches.
    void (*outer_product)(index_t rows, index_t columns, const T* a, const T* b, T* c, bool stream) noexcept;

    void (*conv_pool)(const ConvPoolStrip<T>&) noexcept;
    WinogradTransforms<T> winograd_2x2, winograd_4x4;
    void (*winograd_pool)(const WinogradPool<T>&) noexcept;
    void (*winograd_conv_pool)(const WinogradConvPool<T>&) noexcept;  // null where registers are too few
    void (*winograd_gradient)(const WinogradInput<T>&) noexcept;
    bool (*winograd_kernel)(const WinogradKernel<T>&) noexcept;  // false if some dw is not finite
    int winograd_few_forward;  // the most channels for which the next two are faster than direct sums
    void (*winograd_few_pool)(const WinogradFewPool<T>&) noexcept;
    bool (*winograd_few_output)(const WinogradFewOutput<T>&) noexcept;  // false if some Y + bias is not finite
    void (*winograd_few_gradient)(const WinogradFewGradient<T>&) noexcept;
    void (*winograd_few_input_gradient)(const WinogradFewInputGradient<T>&) noexcept;
    void (*pair_sums)(const PairSums<T>&) noexcept;
    // False if some Y is not finite; null where registers are too few.
    bool (*winograd_parts)(const WinogradParts<T>&) noexcept;

    void (*spread_windows)(const SpreadWindows<T>&) noexcept;
    void (*alive_windows)(const AliveWindows<T>&) noexcept;
    void (*sparse_kernel_gradient)(const SparseKernelGradient<T>&) noexcept;
    void (*sparse_input_gradient)(const SparseInputGradient<T>&) noexcept;
    void (*sparse_pixel_gradient)(const SparsePixelGradient<T>&) noexcept;

    void (*max_pool)(const PoolStrip<T>&) noexcept;
    void (*average_pool)(const PoolStrip<T>&) noexcept;
    index_t (*window_gradient)(const WindowGradient<T>&) noexcept;           // returns how often argmax[from] was it
    index_t (*max_pool_gradient)(const MaxPoolGradient<T>&) noexcept;        // returns how often places[at] was it
    index_t (*meeting_windows_gradient)(const MeetingWindows<T>&) noexcept;  // returns how many maxima were in place
    // places[i] = argmax[i], or some negative number where that is no place below 2**31.
    void (*narrow_places)(index_t size, const std::int64_t* argmax, place_t<T>* places) noexcept;

    // out (columns x rows) = transpose of in (rows x columns).
    void (*transpose)(index_t rows, index_t columns, const T* in, index_t in_stride, T* out,
                      index_t out_stride) noexcept;
    // out[c * out_stride + i] = rows[i][c], i < count and c < columns, both whole vectors; rows[i][ahead + c] is
    // asked for.
    void (*turn_rows)(const T* const* rows, index_t count, index_t columns, index_t ahead, T* out,
                      index_t out_stride) noexcept;
    // out[(c / width) * panel_stride + r * width + c % width] = in[r * in_stride + c], r < rows, c < columns.
    void (*pack_panels)(index_t rows, index_t columns, const T* in, index_t in_stride, index_t width, T* out,
                        index_t panel_stride) noexcept;
    void (*shifted_sum)(const ShiftedSum<T>&) noexcept;
    // sums[c] += sum over rows of x (rows x columns, dense).
    void (*add_column_sums)(index_t rows, index_t columns, const T* x, T* sums) noexcept;
    void (*add)(index_t size, const T* x, T* y) noexcept;  // y += x

    // The largest |x[i]|, 0 for none; not finite if one of them is not.
    T (*largest_magnitude)(index_t size, const T* x) noexcept;

    void (*relu)(index_t size, const T* x, T* y) noexcept;
    void (*relu_gradient)(index_t size, const T* grad, const T* y, T* dx) noexcept;
    // y[i] = x[i] * scale where word i of the Philox stream at `counter` is >= threshold, else 0; bit i % 8 of
    // kept[i / 8] says which, whole bytes, unless it is null.
    void (*dropout)(index_t size, const T* x, T scale, std::uint32_t threshold, std::uint64_t seed,
                    std::uint64_t counter, T* y, std::uint8_t* kept) noexcept;
    // y[i] = x[i] * scale where the bit of `kept` is set, else 0.
    void (*scale_kept)(index_t size, const T* x, T scale, const std::uint8_t* kept, T* y) noexcept;

    void (*adam_step)(const AdamStep<T>&) noexcept;

    // For each row of x (rows x classes, dense, classes >= 1): y = softmax(x), largest = max(x), log_sums =
    // log(sum(exp(x - largest))): apart, as their sum would lose the digits of log_sums. y may be x, or null.
    void (*softmax)(index_t rows, index_t classes, const T* x, T* y, T* largest, T* log_sums) noexcept;

    // Runs `steps` steps of independent multiply-adds in registers, to measure the machine; returns their sum.
    T (*multiply_add_chains)(index_t steps) noexcept;
    int multiply_adds_per_step;
    // Reads x and writes y, a part of each in turn, and nothing else, to measure memory; returns the sum of x. What
    // is left of either behind whole runs of 8 vectors is left out. `stream`: y, aligned to cache lines, goes past
    // the caches.
    T (*read_and_write)(index_t reads, const T* x, index_t writes, T* y, bool stream) noexcept;
};

struct Kernels {
    KernelsOf<float> f32;
    KernelsOf<double> f64;
};

}  // namespace fastconv::kernels
