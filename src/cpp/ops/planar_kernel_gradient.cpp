// The kernel gradient of activations in NCHW.
//
// That of a 1x1 convolution is a product over the pixels of all images,
//   dW[c][k] = sum over n, q of x[n][c][q] * grad[n][k][q]
// in which the side of more channels is read as it lies, by broadcast, and only the other one turned. Others are
// converted as a whole.
#include <algorithm>

#include "dispatch/kernels.hpp"
#include "ops/conv2d.hpp"
#include "ops/cut.hpp"
#include "ops/layout.hpp"
#include "ops/packing.hpp"
#include "ops/planar_pointwise.hpp"
#include "ops/reduction.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t piece_bytes = index_t{256} << 10;        // of the turned side at a time
constexpr index_t most_partial_bytes = index_t{32} << 20;  // of all chunks' gradients
constexpr index_t most_chunks = 16;

// sum[r][c] = sum over n, q of a[n][r][q] * b[n][c][q]. Chunks of images are fixed by the shape and added in order.
template <class T>
void product_over_pixels(index_t images, index_t pixels, index_t rows, index_t columns, const T* a, const T* b,
                         T* sum, int num_threads) {
    static constexpr index_t no_offset[1] = {0};
    const auto& kernels = dispatch::active<T>();
    const index_t element = sizeof(T), lanes = kernels.lanes;
    const int vectors = block_vectors<T>(columns);
    const index_t width = vectors * lanes, blocks = pieces(columns, width);

    // b as [image][block of channels][pixel][width].
    const runtime::Buffer<T> turned(static_cast<std::size_t>(images * blocks * pixels * width));
    const double elements = static_cast<double>(images * pixels) * static_cast<double>(columns);
    const index_t turns = images * blocks;
    runtime::parallel_for(
        turns, runtime::thread_count(turns, runtime::work_of_memory * elements, num_threads), [&](index_t item, int) {
            const index_t image = item / blocks, first = item % blocks * width;
            kernels.transpose(std::min(width, columns - first), pixels, b + (image * columns + first) * pixels,
                              pixels, turned.data() + item * pixels * width, width);
        });

    const index_t size = rows * columns;
    const index_t most = std::clamp<index_t>(most_partial_bytes / (size * element), 1, most_chunks);
    const index_t chunk = pieces(images, most), chunks = pieces(images, chunk);
    const runtime::Buffer<T> partials(static_cast<std::size_t>(chunks > 1 ? chunks * size : 0));
    T* const partial = chunks > 1 ? partials.data() : sum;
    const index_t row_tile = kernels.tile_rows[vectors - 1], row_tiles = pieces(rows, row_tile);
    const int threads = runtime::thread_count(chunks * row_tiles, elements * static_cast<double>(rows), num_threads);
    const index_t wanted = threads > 1 ? 4 * threads : 1;
    const index_t slices = std::min(row_tiles, pieces(wanted, chunks));
    const index_t piece = std::clamp<index_t>(piece_bytes / (blocks * width * element), 16, pixels);
    runtime::parallel_for(chunks * slices, threads, [&](index_t item, int) {
        const index_t part = item / slices;
        const auto [first_tile, last_tile] =
            runtime::share(row_tiles, static_cast<int>(item % slices), static_cast<int>(slices));
        const index_t first_row = first_tile * row_tile;
        kernels::BatchReduce<T> op{};
        op.a_row_stride = pixels;
        op.a_depth_stride = 1;
        op.a_offsets = op.b_offsets = no_offset;
        op.b_block_stride = pixels * width;
        op.b_depth_stride = width;
        op.count = 1;
        op.c = partial + part * size + first_row * columns;
        op.c_row_stride = columns;
        op.rows = std::min(rows, last_tile * row_tile) - first_row;
        op.columns = columns;
        op.block_vectors = vectors;
        for (index_t image = part * chunk; image < std::min(images, (part + 1) * chunk); ++image) {
            for (index_t q = 0; q < pixels; q += op.depth) {
                op.depth = std::min(piece, pixels - q);
                op.a = a + (image * rows + first_row) * pixels + q;
                op.b = turned.data() + image * blocks * pixels * width + q * width;
                kernels.batch_reduce(op);
                op.accumulate = true;
            }
        }
    });
    if (chunks > 1) add_partials(chunks, size, size, partial, sum, num_threads);
}

template <class T>
void pointwise_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads) {
    const Plane plane = Plane::of(s);
    const index_t pixels = plane.pixels, planes = s.batch * s.in_channels;
    runtime::Buffer<T> read;
    if (!plane.dense()) {
        read = runtime::Buffer<T>(static_cast<std::size_t>(planes * pixels));
        const double work = runtime::work_of_memory * static_cast<double>(planes * pixels);
        runtime::parallel_for(planes, runtime::thread_count(planes, work, num_threads), [&](index_t p, int) {
            plane.gather(x + p * plane.size, 0, pixels, read.data() + p * pixels);
        });
        x = read.data();
    }
    if (s.in_channels > s.out_channels)
        return product_over_pixels(s.batch, pixels, s.in_channels, s.out_channels, x, grad, dkernel, num_threads);
    const runtime::Buffer<T> transposed(static_cast<std::size_t>(s.kernel_size()));
    product_over_pixels(s.batch, pixels, s.out_channels, s.in_channels, grad, x, transposed.data(), num_threads);
    transpose_planes(1, s.out_channels, s.in_channels, transposed.data(), dkernel, num_threads);
}

}  // namespace

template <class T>
void conv2d_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads,
                            Layout layout) {
    if (layout == Layout::channels_first && s.batch > 0 && planar_pointwise_pays<T>(s))
        return pointwise_kernel_gradient(s, x, grad, dkernel, num_threads);
    runtime::Buffer<T> x_copy, grad_copy;
    x = to_channels_last(layout, s.batch, s.in_channels, s.in_height * s.in_width, x, x_copy, num_threads);
    grad =
        to_channels_last(layout, s.batch, s.out_channels, s.out_height * s.out_width, grad, grad_copy, num_threads);
    conv2d_kernel_gradient(s, x, grad, dkernel, num_threads);
}

template void conv2d_kernel_gradient(const Conv2dShape&, const float*, const float*, float*, int, Layout);
template void conv2d_kernel_gradient(const Conv2dShape&, const double*, const double*, double*, int, Layout);

}  // namespace fastconv::ops
