#include "ops/pool2d.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "ops/conv2d.hpp"
#include "ops/pooling.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {

PoolingStrips::PoolingStrips(const Pool2dShape& shape) : shape_(shape) {
    const Axis rows = forward_axis(shape.in_height, shape.out_height, shape.pool_height, shape.stride_height,
                                   shape.dilation_height, shape.pad_top);
    const Axis columns = forward_axis(shape.in_width, shape.out_width, shape.pool_width, shape.stride_width,
                                      shape.dilation_width, shape.pad_left);
    const std::vector<Segment> column_segments = segments(columns);
    row_segment_.resize(static_cast<std::size_t>(shape.out_height));
    for (const Segment& r : segments(rows)) {
        std::fill(row_segment_.begin() + r.begin, row_segment_.begin() + r.end, static_cast<index_t>(rows_.size()));
        Rectangles of_row;
        for (const Segment& c : column_segments) {
            Rectangle rectangle{c, {}};
            for (index_t i = r.first_tap; i < r.last_tap; ++i)
                for (index_t j = c.first_tap; j < c.last_tap; ++j)
                    rectangle.tap_offsets.push_back((rows.taps[static_cast<std::size_t>(i)].offset * shape.in_width +
                                                     columns.taps[static_cast<std::size_t>(j)].offset) *
                                                    shape.channels);
            if (rectangle.tap_offsets.empty())
                throw std::invalid_argument("padding leaves a pooling window without an element of the image");
            of_row.push_back(std::move(rectangle));
        }
        rows_.push_back(std::move(of_row));
    }
}

namespace {

// Pooling is bound by memory: an element that moves takes as long as so many multiply-adds of a convolution.
constexpr double work_of_memory = 6;

// kernel(strip) for all windows of all images; argmax may be null.
template <class T, class Kernel>
void for_all_strips(const Pool2dShape& s, const T* x, T* y, std::int64_t* argmax, int num_threads,
                    const Kernel& kernel) {
    if (s.output_size() == 0) return;
    const PoolingStrips strips(s);
    const index_t image_in = s.in_height * s.in_width * s.channels;
    const index_t image_out = s.out_height * s.out_width * s.channels;
    const index_t items = s.batch * s.out_height;
    const double taps = static_cast<double>(std::min(s.in_height * s.in_width, s.pool_height * s.pool_width));
    const double work = work_of_memory * (static_cast<double>(s.input_size()) +
                                          (argmax ? 3 : 1) * static_cast<double>(s.output_size())) +
                        taps * static_cast<double>(s.output_size()) / 2;
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t n = item / s.out_height;
        strips.for_row(item % s.out_height, x + n * image_in, y + n * image_out,
                       argmax ? argmax + n * image_out : nullptr, nullptr, kernel);
    });
}

}  // namespace

template <class T>
void max_pool2d(const Pool2dShape& s, const T* x, T* y, std::int64_t* argmax, int num_threads) {
    for_all_strips(s, x, y, argmax, num_threads, dispatch::active<T>().max_pool);
}

template <class T>
void max_pool2d_gradient(index_t batch, index_t windows, index_t image_size, const T* grad,
                         const std::int64_t* argmax, T* dx, int num_threads) {
    std::atomic<bool> outside{false};
    const double work = static_cast<double>(batch * (windows + image_size)) / 2;
    runtime::parallel_for(batch, runtime::thread_count(batch, work, num_threads), [&](index_t n, int) {
        T* image = dx + n * image_size;
        std::memset(image, 0, static_cast<std::size_t>(image_size) * sizeof(T));
        for (index_t i = n * windows; i < (n + 1) * windows; ++i) {
            const index_t position = argmax[i];
            if (position < 0 || position >= image_size) {
                outside = true;
                return;
            }
            image[position] += grad[i];
        }
    });
    if (outside)
        throw std::invalid_argument("argmax must lie inside the image, expected indices in [0, " +
                                    std::to_string(image_size) + ")");
}

template <class T>
void average_pool2d(const Pool2dShape& s, const T* x, T* y, int num_threads) {
    for_all_strips<T>(s, x, y, nullptr, num_threads, dispatch::active<T>().average_pool);
}

template <class T>
void average_pool2d_gradient(const Pool2dShape& s, const T* grad, T* dx, int num_threads) {
    if (s.input_size() == 0) return;
    // Each window hands grad / taps to its taps: the input gradient of a depthwise convolution with ones.
    const runtime::Buffer<T> shares(static_cast<std::size_t>(s.output_size()));
    for_all_strips<T>(s, grad, shares.data(), nullptr, num_threads, [&](const kernels::PoolStrip<T>& strip) {
        const index_t first = strip.y - shares.data();
        const T taps = static_cast<T>(strip.taps);
        for (index_t i = first; i < first + strip.pixels * strip.y_stride; ++i) shares.data()[i] = grad[i] / taps;
    });
    Conv2dShape conv{};
    static_cast<Conv2dGeometry&>(conv) = {s.stride_height,  s.stride_width, s.dilation_height,
                                          s.dilation_width, s.pad_top,      s.pad_bottom,
                                          s.pad_left,       s.pad_right,    s.channels};
    conv.batch = s.batch;
    conv.in_height = s.in_height;
    conv.in_width = s.in_width;
    conv.in_channels = conv.out_channels = s.channels;
    conv.kernel_height = s.pool_height;
    conv.kernel_width = s.pool_width;
    conv.out_height = s.out_height;
    conv.out_width = s.out_width;
    const runtime::Buffer<T> ones(static_cast<std::size_t>(conv.kernel_size()));
    std::fill_n(ones.data(), conv.kernel_size(), T(1));
    conv2d_input_gradient<T>(conv, shares.data(), ones.data(), nullptr, Activation::linear, dx, num_threads);
}

template void max_pool2d(const Pool2dShape&, const float*, float*, std::int64_t*, int);
template void max_pool2d(const Pool2dShape&, const double*, double*, std::int64_t*, int);
template void max_pool2d_gradient(index_t, index_t, index_t, const float*, const std::int64_t*, float*, int);
template void max_pool2d_gradient(index_t, index_t, index_t, const double*, const std::int64_t*, double*, int);
template void average_pool2d(const Pool2dShape&, const float*, float*, int);
template void average_pool2d(const Pool2dShape&, const double*, double*, int);
template void average_pool2d_gradient(const Pool2dShape&, const float*, float*, int);
template void average_pool2d_gradient(const Pool2dShape&, const double*, double*, int);

}  // namespace fastconv::ops
