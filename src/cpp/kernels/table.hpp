// The kernel table: all that the rest of the core knows of the code compiled for one instruction-set level.
//
// Kernels are serial, do not allocate and do not throw. Sizes, strides and offsets count elements. The caller
// has checked every argument; arrays are aligned to their elements only.
#pragma once

#include <cstddef>

#include "common.hpp"

namespace fastconv::kernels {

// One batch-reduce product, the building block of convolution, its gradients and matmul:
//
//   C[m][n] = activation( [C[m][n] +] bias[n] + sum_{i < count} sum_{k < depth} A_i[m][k] * B_i[k][n] )
//   A_i[m][k] = a[a_offsets[i] + m * a_row_stride + k * a_depth_stride]
//   B_i[k][n] = b[b_offsets[i] + (n / width) * b_block_stride + k * b_depth_stride + n % width]
//   C[m][n]   = c[m * c_row_stride + n]
//
// with width = block_vectors * lanes. B must be readable up to a whole vector beyond the last column. In the
// diagonal form A_i[m][k] is a vector too, indexed like B's columns ( + n ), and nothing is read beyond `columns`.
// Each C[m][n] is one chain of additions in the order of (i, k), whatever `rows` is.
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
    bool accumulate;
    const T* bias;  // may be null
    Activation activation;
};

// `pixels` windows of a pooling row that all have the same `taps`:
//   y[m * y_stride + c] = max (or mean) over i of x[m * x_stride + tap_offsets[i] + c]
// Max: argmax[m * y_stride + c] = origin + m * x_stride + tap_offsets[i] + c for the winning i; argmax may be null.
// The first maximum wins, and the first NaN above all. 1 <= taps, and tap offsets fit 32 bits.
template <class T>
struct PoolStrip {
    const T* x;
    index_t x_stride;
    const index_t* tap_offsets;
    index_t taps;
    index_t pixels, channels;
    T* y;
    index_t y_stride;
    std::int64_t* argmax;
    index_t origin;
};

constexpr int max_block_vectors = 4;

template <class T>
struct KernelsOf {
    int lanes;                         // of T in a vector
    int block_vectors;                 // the widest tile, in vectors
    int tile_rows[max_block_vectors];  // the most rows of a tile of 1, 2, ... vectors

    void (*batch_reduce)(const BatchReduce<T>&) noexcept;
    void (*batch_reduce_diagonal)(const BatchReduce<T>&) noexcept;

    void (*max_pool)(const PoolStrip<T>&) noexcept;
    void (*average_pool)(const PoolStrip<T>&) noexcept;

    // out (columns x rows) = transpose of in (rows x columns).
    void (*transpose)(index_t rows, index_t columns, const T* in, index_t in_stride, T* out,
                      index_t out_stride) noexcept;
    // sums[c] += sum over rows of x (rows x columns, dense).
    void (*add_column_sums)(index_t rows, index_t columns, const T* x, T* sums) noexcept;
    void (*add)(index_t size, const T* x, T* y) noexcept;  // y += x

    void (*relu)(index_t size, const T* x, T* y) noexcept;
    void (*relu_gradient)(index_t size, const T* grad, const T* y, T* dx) noexcept;
    // y[i] = x[i] * scale where word i of the Philox stream at `counter` is >= threshold, else 0.
    void (*dropout)(index_t size, const T* x, T scale, std::uint32_t threshold, std::uint64_t seed,
                    std::uint64_t counter, T* y) noexcept;

    // For each row of x (rows x classes, dense, classes >= 1): y = softmax(x), largest = max(x), log_sums =
    // log(sum(exp(x - largest))): apart, as their sum would lose the digits of log_sums. y may be x, or null.
    void (*softmax)(index_t rows, index_t classes, const T* x, T* y, T* largest, T* log_sums) noexcept;

    // Runs `steps` steps of independent multiply-adds in registers, to measure the machine; returns their sum.
    T (*multiply_add_chains)(index_t steps) noexcept;
    int multiply_adds_per_step;
};

struct Kernels {
    KernelsOf<float> f32;
    KernelsOf<double> f64;
};

}  // namespace fastconv::kernels
