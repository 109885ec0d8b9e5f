// Bands of pooled rows: the convolution's rows that a band reads are computed into a buffer that stays in the cache
// of the thread, then pooled. Rows and columns that no window reads are not computed.
#include "ops/conv2d_pool2d.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "ops/contraction.hpp"
#include "ops/packing.hpp"
#include "ops/pooling.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t band_bytes = index_t{256} << 10;

// The convolution's rows that pooled rows [begin, end) read.
Range rows_read(const Pool2dShape& p, index_t begin, index_t end) {
    const index_t first = begin * p.stride_height - p.pad_top;
    const index_t last = (end - 1) * p.stride_height - p.pad_top + (p.pool_height - 1) * p.dilation_height;
    return {std::max<index_t>(0, first), std::min(p.in_height, last + 1)};
}

}  // namespace

template <class T>
void conv2d_max_pool2d(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel, const T* bias,
                       Activation activation, T* y, std::int64_t* argmax, int num_threads) {
    if (p.output_size() == 0) return;
    const PoolingStrips strips(p);
    const auto weights = PackedWeights<T>::forward(s, kernel, num_threads);
    const index_t last_column =
        (p.out_width - 1) * p.stride_width - p.pad_left + (p.pool_width - 1) * p.dilation_width;
    const index_t columns_read = std::min(s.out_width, last_column + 1);
    const Axis rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height, s.pad_top);
    const Axis columns =
        forward_axis(s.in_width, columns_read, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left);
    const Strides in = dense_strides(s.in_height, s.in_width, s.in_channels);
    const Strides out = dense_strides(s.out_height, s.out_width, s.out_channels);
    const index_t depth = s.group_in_channels(), filters = s.group_out_channels();
    std::vector<Contraction<T>> groups;
    for (index_t g = 0; g < s.groups; ++g)
        groups.emplace_back(rows, columns, in, out, depth, filters, weights.of_group(g), false);

    // Pooled rows of a band: as many as fit the buffer, fewer if the threads would run out of bands.
    const index_t row_bytes = out.row * static_cast<index_t>(sizeof(T));
    const int most_threads = runtime::thread_count(s.batch * p.out_height, s.multiplications(), num_threads);
    const index_t fitting = band_bytes / std::max<index_t>(1, row_bytes * p.stride_height);
    const index_t evening = s.batch * p.out_height / (2 * most_threads);
    const index_t band = most_threads == 1 ? std::clamp<index_t>(fitting, 1, p.out_height)
                                           : std::clamp<index_t>(std::min(fitting, evening), 1, p.out_height);
    const index_t bands = (p.out_height + band - 1) / band;
    const Range tallest = rows_read(p, 0, std::min(p.out_height, band + 1));
    const index_t buffer_rows =
        std::max(tallest.size(), band * p.stride_height + (p.pool_height - 1) * p.dilation_height + 1);
    const index_t buffer_size = std::min(buffer_rows, s.out_height) * out.row;

    const index_t items = s.batch * bands;
    const int threads = runtime::thread_count(items, s.multiplications(), num_threads);
    const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * buffer_size));
    const auto max_pool = dispatch::active<T>().max_pool;
    const index_t image_out = p.out_height * p.out_width * p.channels;
    runtime::parallel_for(items, threads, [&](index_t item, int thread) {
        const index_t n = item / bands, begin = item % bands * band, end = std::min(p.out_height, begin + band);
        const Range read = rows_read(p, begin, end);
        T* buffer = buffers.data() + thread * buffer_size;
        for (index_t g = 0; g < s.groups; ++g) {
            const Contraction<T>& group = groups[static_cast<std::size_t>(g)];
            group.run(1, read, {0, group.blocks()}, x + n * in.image + g * depth, buffer + g * filters, read.begin,
                      bias ? bias + g * filters : nullptr, activation);
        }
        // The strips count rows from the top of the image.
        const T* image = buffer - read.begin * out.row;
        for (index_t row = begin; row < end; ++row)
            strips.for_row(row, image, y + n * image_out, argmax ? argmax + n * image_out : nullptr, max_pool);
    });
}

template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel,
                                 const T* grad, const std::int64_t* argmax, const T* y, Activation activation, T* dx,
                                 T* dkernel, T* dbias, int num_threads) {
    // The gradient of the convolution's output: at each maximum, unless ReLU was flat there.
    const index_t image_size = s.out_height * s.out_width * s.out_channels;
    const index_t windows = p.out_height * p.out_width * p.channels;
    const runtime::Buffer<T> conv_grad(static_cast<std::size_t>(s.batch * image_size));
    std::atomic<bool> outside{false};
    const double work = static_cast<double>(s.batch * (windows + image_size)) / 2;
    runtime::parallel_for(s.batch, runtime::thread_count(s.batch, work, num_threads), [&](index_t n, int) {
        T* image = conv_grad.data() + n * image_size;
        std::memset(image, 0, static_cast<std::size_t>(image_size) * sizeof(T));
        for (index_t i = n * windows; i < (n + 1) * windows; ++i) {
            const index_t position = argmax[i];
            if (position < 0 || position >= image_size) {
                outside = true;
                return;
            }
            image[position] += activation == Activation::linear || y[i] > 0 ? grad[i] : T(0);
        }
    });
    if (outside)
        throw std::invalid_argument("argmax must lie inside the convolution's output, expected indices in [0, " +
                                    std::to_string(image_size) + ")");

    const T* g = conv_grad.data();
    if (dx) conv2d_input_gradient<T>(s, g, kernel, nullptr, Activation::linear, dx, num_threads);
    if (dkernel) conv2d_kernel_gradient(s, x, g, dkernel, num_threads);
    if (dbias) bias_gradient(s.batch * s.out_height * s.out_width, s.out_channels, g, dbias, num_threads);
}

template void conv2d_max_pool2d(const Conv2dShape&, const Pool2dShape&, const float*, const float*, const float*,
                                Activation, float*, std::int64_t*, int);
template void conv2d_max_pool2d(const Conv2dShape&, const Pool2dShape&, const double*, const double*, const double*,
                                Activation, double*, std::int64_t*, int);
template void conv2d_max_pool2d_gradients(const Conv2dShape&, const Pool2dShape&, const float*, const float*,
                                          const float*, const std::int64_t*, const float*, Activation, float*, float*,
                                          float*, int);
template void conv2d_max_pool2d_gradients(const Conv2dShape&, const Pool2dShape&, const double*, const double*,
                                          const double*, const std::int64_t*, const double*, Activation, double*,
                                          double*, double*, int);

}  // namespace fastconv::ops
