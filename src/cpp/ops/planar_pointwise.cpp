#include "ops/planar_pointwise.hpp"

#include <algorithm>
#include <cstring>

#include "dispatch/kernels.hpp"
#include "ops/cut.hpp"
#include "ops/streaming.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t panel_bytes = index_t{256} << 10;   // of x, packed for an item
constexpr index_t matrix_bytes = index_t{128} << 10;  // rows of A that pass a panel together

// A and the bias, which is one more column of A on a row of ones under x.
template <class T>
struct Matrix {
    index_t rows, depth;  // the bias included
    bool with_bias;
    const T* data;
    index_t row_stride;
    runtime::Buffer<T> copy;
};

// Some pixels of an image's channels, and of the row of ones, as the panels [block][depth][width] that batch_reduce
// reads; `line` has room for as many pixels.
template <class T>
void pack_pixels(const Matrix<T>& matrix, const Plane& plane, Range pixels, index_t width, const T* image, T* panels,
                 T* line) {
    const index_t depth = matrix.depth, channels = depth - matrix.with_bias;
    const auto pack_row = [&](index_t d, const T* row) {
        for (index_t b = 0, left = pixels.size(); left > 0; ++b, left -= width) {
            T* out = panels + (b * depth + d) * width;
            const index_t used = std::min(width, left);
            std::memcpy(out, row + b * width, static_cast<std::size_t>(used) * sizeof(T));
            std::fill(out + used, out + width, T(0));
        }
    };
    for (index_t d = 0; d < channels; ++d) {
        const T* in = image + d * plane.size;
        if (!plane.dense()) plane.gather(in, pixels.begin, pixels.size(), line);
        pack_row(d, plane.dense() ? in + pixels.begin : line);
    }
    if (matrix.with_bias) {
        std::fill(line, line + pixels.size(), T(1));
        pack_row(channels, line);
    }
}

template <class T>
void run(const Matrix<T>& matrix, const Plane& plane, index_t images, const T* x, Activation activation, T* y,
         int num_threads) {
    static constexpr index_t no_offset[1] = {0};
    const auto& kernels = dispatch::active<T>();
    const index_t lanes = kernels.lanes, block = kernels.block_vectors, width = block * lanes;
    const index_t row_tile = kernels.tile_rows[block - 1], element = sizeof(T), depth = matrix.depth;
    const index_t channels = depth - matrix.with_bias;

    // Items of pixels, counted in vectors, in blocks where there are many; at least two for every thread.
    const index_t vectors = pieces(plane.pixels, lanes);
    const index_t at_once = std::max(block, panel_bytes / (depth * lanes * element) / block * block);
    const double work = static_cast<double>(images * plane.pixels) * static_cast<double>(matrix.rows * depth);
    const int threads = runtime::thread_count(images * pieces(vectors, block), work, num_threads);
    const index_t wanted = threads > 1 ? 2 * threads : 1;
    const index_t parts = std::min(vectors, std::max(pieces(vectors, at_once), pieces(wanted, images)));
    const index_t unit = vectors >= 4 * block * parts ? block : 1, units = pieces(vectors, unit);
    const index_t panel_size = pieces(pieces(units, parts) * unit, block) * depth * width;
    const index_t rows_at_once = std::max<index_t>(1, matrix_bytes / (row_tile * depth * element)) * row_tile;
    const index_t line_size = width * pieces(pieces(units, parts) * unit, block);

    const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * (panel_size + line_size)));
    const bool stream =
        plane.pixels * element % stream_line == 0 && streams(y, images * matrix.rows * plane.pixels * element);
    runtime::parallel_for(images * parts, threads, [&](index_t item, int thread) {
        const index_t image = item / parts;
        const auto [first_unit, last_unit] =
            runtime::share(units, static_cast<int>(item % parts), static_cast<int>(parts));
        const index_t first = first_unit * unit * lanes;
        const index_t count = std::min(plane.pixels, last_unit * unit * lanes) - first;
        T* const panel = scratch.data() + thread * (panel_size + line_size);
        T* const line = panel + panel_size;
        pack_pixels(matrix, plane, {first, first + count}, width, x + image * channels * plane.size, panel, line);
        kernels::BatchReduce<T> op{};
        op.a_row_stride = matrix.row_stride;
        op.a_depth_stride = 1;
        op.a_offsets = op.b_offsets = no_offset;
        op.b = panel;
        op.b_block_stride = depth * width;
        op.b_depth_stride = width;
        op.count = 1;
        op.depth = depth;
        op.c_row_stride = plane.pixels;
        op.columns = count;
        op.block_vectors = static_cast<int>(block);
        op.activation = activation;
        op.stream = stream;
        for (index_t row = 0; row < matrix.rows; row += rows_at_once) {
            op.rows = std::min(rows_at_once, matrix.rows - row);
            op.a = matrix.data + row * matrix.row_stride;
            op.c = y + (image * matrix.rows + row) * plane.pixels + first;
            kernels.batch_reduce(op);
        }
    });
}

}  // namespace

template <class T>
bool planar_pointwise_pays(const Conv2dShape& s) {
    const index_t lanes = dispatch::active<T>().lanes, pixels = s.out_height * s.out_width;
    const bool padded = s.pad_top || s.pad_bottom || s.pad_left || s.pad_right;
    return s.groups == 1 && s.kernel_height == 1 && s.kernel_width == 1 && !padded && s.in_channels > 0 &&
           s.out_channels > 0 && pixels * 10 >= pieces(pixels, lanes) * lanes * 9;
}

template <class T>
void planar_pointwise(const Conv2dShape& s, const T* x, const T* kernel, const T* bias, Activation activation, T* y,
                      int num_threads) {
    Matrix<T> matrix{s.out_channels, s.in_channels + (bias ? 1 : 0), bias != nullptr, nullptr, 0, {}};
    matrix.row_stride = matrix.depth;
    matrix.copy = runtime::Buffer<T>(static_cast<std::size_t>(matrix.rows * matrix.depth));
    matrix.data = matrix.copy.data();
    constexpr index_t slice = 64;
    const index_t items = pieces(matrix.rows, slice);
    const double work = runtime::work_of_memory * static_cast<double>(matrix.rows * matrix.depth);
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item * slice, count = std::min(slice, matrix.rows - first);
        T* out = matrix.copy.data() + first * matrix.depth;
        dispatch::active<T>().transpose(s.in_channels, count, kernel + first, s.out_channels, out, matrix.depth);
        for (index_t m = 0; bias && m < count; ++m) out[m * matrix.depth + s.in_channels] = bias[first + m];
    });
    const Plane plane = Plane::of(s);
    run(matrix, plane, s.batch, x, activation, y, num_threads);
}

template <class T>
void planar_pointwise_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias,
                                     Activation activation, T* dx, int num_threads) {
    Matrix<T> matrix{s.in_channels, s.out_channels, false, kernel, s.out_channels, {}};
    if (bias) {
        matrix.with_bias = true;
        matrix.row_stride = ++matrix.depth;
        matrix.copy = runtime::Buffer<T>(static_cast<std::size_t>(matrix.rows * matrix.depth));
        matrix.data = matrix.copy.data();
        for (index_t m = 0; m < matrix.rows; ++m) {
            T* out = matrix.copy.data() + m * matrix.depth;
            std::copy_n(kernel + m * s.out_channels, s.out_channels, out);
            out[s.out_channels] = bias[m];
        }
    }
    const index_t pixels = s.out_height * s.out_width;
    run(matrix, Plane{pixels, s.out_width, s.out_width, pixels, 1, 1}, s.batch, grad, activation, dx, num_threads);
}

#define FASTCONV_INSTANTIATE(T)                                                                                     \
    template bool planar_pointwise_pays<T>(const Conv2dShape&);                                                     \
    template void planar_pointwise(const Conv2dShape&, const T*, const T*, const T*, Activation, T*, int);          \
    template void planar_pointwise_input_gradient(const Conv2dShape&, const T*, const T*, const T*, Activation, T*, \
                                                  int)
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
