#include "ops/pool2d.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "ops/gradient_strips.hpp"
#include "ops/pooling.hpp"
#include "ops/streaming.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

[[noreturn]] void refuse_empty_window() {
    throw std::invalid_argument("padding leaves a pooling window without an element of the image");
}

}  // namespace

PoolingStrips::PoolingStrips(const Pool2dShape& shape, bool far) : shape_(shape) {
    const Axis rows = forward_axis(shape.in_height, shape.out_height, shape.pool_height, shape.stride_height,
                                   shape.dilation_height, shape.pad_top);
    const Axis columns = forward_axis(shape.in_width, shape.out_width, shape.pool_width, shape.stride_width,
                                      shape.dilation_width, shape.pad_left);
    const std::vector<Segment> row_segments = segments(rows), column_segments = segments(columns);
    const std::size_t rectangles = row_segments.size() * column_segments.size();
    const index_t next_row = shape.stride_height * shape.in_width * shape.channels;
    column_segments_ = static_cast<index_t>(column_segments.size());
    row_segment_.resize(static_cast<std::size_t>(shape.out_height));
    rectangles_.reserve(rectangles);
    offsets_.reserve((far ? 2 : 1) * rows.taps.size() * columns.taps.size());
    for (std::size_t k = 0; k < row_segments.size(); ++k) {
        const Segment& r = row_segments[k];
        std::fill(row_segment_.begin() + r.begin, row_segment_.begin() + r.end, static_cast<index_t>(k));
        for (const Segment& c : column_segments) {
            const auto first = static_cast<index_t>(offsets_.size());
            const auto add = [&](index_t first_row, index_t first_column, index_t further) {
                for (index_t i = first_row; i < r.last_tap; ++i)
                    for (index_t j = first_column; j < c.last_tap; ++j)
                        offsets_.push_back((rows.taps[static_cast<std::size_t>(i)].offset * shape.in_width +
                                            columns.taps[static_cast<std::size_t>(j)].offset) *
                                               shape.channels +
                                           further);
                return static_cast<index_t>(offsets_.size());
            };
            const index_t taps = add(r.first_tap, c.first_tap, 0) - first;
            if (taps == 0) refuse_empty_window();
            // What the next row of windows reads, each pixel once.
            const index_t end = far ? add(std::max(r.first_tap, r.last_tap - shape.stride_height),
                                          std::max(c.first_tap, c.last_tap - shape.stride_width), next_row)
                                    : first + taps;
            rectangles_.push_back({c, first, taps, end - first - taps});
        }
    }
}

namespace {

// kernel(strip) for all windows of all images; argmax may be null.
template <class T, class Kernel>
void for_all_strips(const Pool2dShape& s, const T* x, T* y, std::int64_t* argmax, int num_threads,
                    const Kernel& kernel) {
    if (s.output_size() == 0) return;
    const index_t moved = (s.input_size() + s.output_size()) * static_cast<index_t>(sizeof(T)) +
                          (argmax ? s.output_size() * static_cast<index_t>(sizeof(std::int64_t)) : 0);
    const bool far = moved >= streamed_bytes;
    const bool whole_lines = s.channels * static_cast<index_t>(sizeof(T)) % stream_line == 0;
    const bool stream_y = whole_lines && streams(y, s.output_size() * static_cast<index_t>(sizeof(T)));
    const bool stream_argmax = whole_lines && far && on_a_line(argmax);
    const PoolingStrips strips(s, far);
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
                       argmax ? argmax + n * image_out : nullptr, nullptr, kernel, stream_y, stream_argmax);
    });
}

// For each window of an axis, how many of its cells are inside the image.
std::vector<index_t> cells_inside(index_t in_length, index_t out_length, index_t size, index_t stride,
                                  index_t dilation, index_t pad) {
    std::vector<index_t> cells(static_cast<std::size_t>(out_length));
    for (const Segment& segment : segments(forward_axis(in_length, out_length, size, stride, dilation, pad))) {
        if (segment.last_tap == segment.first_tap) refuse_empty_window();
        std::fill(cells.begin() + segment.begin, cells.begin() + segment.end, segment.last_tap - segment.first_tap);
    }
    return cells;
}

// Global pooling of images of one channel (planes of NCHW) as windows side by side in the one row of longer images:
// strips of up to 64 windows instead of one.
Pool2dShape side_by_side(Pool2dShape s) {
    if (!s.is_global() || s.channels != 1 || s.batch == 0) return s;
    const index_t images = std::gcd(s.batch, index_t{64});
    s.pool_width *= s.pool_height;
    s.pool_height = s.stride_height = s.in_height = 1;
    s.stride_width = s.pool_width;
    s.in_width = s.pool_width * images;
    s.out_width = images;
    s.batch /= images;
    return s;
}

// Of dx and of windows in an outer product: so many that setting it up counts little.
constexpr index_t elements_of_item = index_t{48} << 10, most_windows_of_item = 1024;
// Longer windows are filled faster. ms, filled and as outer products, 2 threads: 32 images of 256 planes of 28x28
// 0.50 and 0.38; 8 of 256 of 56x56 0.48 and 0.79; 8 of 64 of 112x112 0.52 and 1.60.
constexpr index_t longest_run = 1024;

// The gradient of the mean for windows that are short runs of memory, one after the other: outer products of shares
// and ones.
template <class T>
void average_gradient_of_runs(const Pool2dShape& s, const T* grad, T* dx, int num_threads) {
    const index_t width = s.pool_width;
    const T cells = static_cast<T>(width);
    const runtime::Buffer<T> ones(static_cast<std::size_t>(width));
    std::fill_n(ones.data(), width, T(1));
    const Cut windows(s.batch * s.out_width, std::clamp<index_t>(elements_of_item / width, 1, most_windows_of_item),
                      1);
    runtime::parallel_for(windows.count, gradient_threads(s, num_threads), [&](index_t item, int) {
        const Range range = windows[item];
        T shares[most_windows_of_item];
        for (index_t i = 0; i < range.size(); ++i) shares[i] = grad[range.begin + i] / cells;
        dispatch::active<T>().outer_product(range.size(), width, shares, ones.data(), dx + range.begin * width,
                                            false);
    });
}

// The same for windows that fill the image without meeting: a row of dx is a row of shares, each as often as a window
// is wide; a row of windows is that row, as often as a window is high.
template <class T>
void average_gradient_of_tiles(const Pool2dShape& s, const T* grad, T* dx, int num_threads) {
    const T cells = static_cast<T>(s.pool_height * s.pool_width);
    const index_t row = s.in_width, width = s.pool_width, covered = s.out_width * width;
    runtime::parallel_for(s.batch * s.out_height, gradient_threads(s, num_threads), [&](index_t item, int) {
        const index_t n = item / s.out_height, i = item % s.out_height, top = i * s.pool_height;
        const T* from = grad + item * s.out_width;
        T* first = dx + (n * s.in_height + top) * row;
        if (width == 2)
            for (index_t w = 0; w < s.out_width; ++w) first[2 * w] = first[2 * w + 1] = from[w] / cells;
        else
            for (index_t w = 0; w < s.out_width; ++w) std::fill_n(first + w * width, width, from[w] / cells);
        std::fill(first + covered, first + row, T(0));
        for (index_t h = 1; h < s.pool_height; ++h) std::copy_n(first, row, first + h * row);
        if (i + 1 == s.out_height) std::fill(first + s.pool_height * row, first + (s.in_height - top) * row, T(0));
    });
}

}  // namespace

template <class T>
void max_pool2d(const Pool2dShape& s, const T* x, T* y, std::int64_t* argmax, int num_threads) {
    for_all_strips(s, x, y, argmax, num_threads, dispatch::active<T>().max_pool);
}

template <class T>
void average_pool2d(const Pool2dShape& s, const T* x, T* y, int num_threads) {
    for_all_strips<T>(side_by_side(s), x, y, nullptr, num_threads, dispatch::active<T>().average_pool);
}

template <class T>
void average_pool2d_gradient(const Pool2dShape& s, const T* grad, T* dx, int num_threads) {
    if (s.input_size() == 0) return;
    if (const Pool2dShape tiles = side_by_side(s); tiles.channels == 1 && tiles.windows_fill_image())
        return tiles.in_height == 1 && tiles.pool_width <= longest_run &&
                       tiles.in_width == tiles.out_width * tiles.pool_width
                   ? average_gradient_of_runs(tiles, grad, dx, num_threads)
                   : average_gradient_of_tiles(tiles, grad, dx, num_threads);
    if (windows_are_apart<T>(s))
        return gradient_of_windows_apart<T>(s, grad, nullptr, dx, num_threads, [](index_t, index_t) {});
    // Each window hands grad / cells to its cells.
    const auto rows =
        cells_inside(s.in_height, s.out_height, s.pool_height, s.stride_height, s.dilation_height, s.pad_top);
    const auto columns =
        cells_inside(s.in_width, s.out_width, s.pool_width, s.stride_width, s.dilation_width, s.pad_left);
    const GradientStrips strips(s);
    const index_t image = s.in_height * s.in_width * s.channels;
    const auto divide = [&](index_t n, Range windows, T* shares) {
        const T* values = grad + (n * s.out_height + windows.begin) * s.out_width * s.channels;
        for (index_t i = windows.begin; i < windows.end; ++i)
            for (const index_t cells : columns) {
                const T count = static_cast<T>(rows[static_cast<std::size_t>(i)] * cells);
                for (index_t c = 0; c < s.channels; ++c) shares[c] = values[c] / count;
                shares += s.channels;
                values += s.channels;
            }
    };
    for_gradient_bands<T>(s, strips, num_threads, divide, [&](index_t n, Range band, const T* shares) {
        for (index_t h = band.begin; h < band.end; ++h)
            strips.for_row(h, [&](const GradientStrip& from) {
                kernels::PoolStrip<T> strip{};
                strip.x = shares + from.from;
                strip.x_stride = from.from_stride;
                strip.tap_offsets = from.offsets;
                strip.taps = from.windows;
                strip.divisor = 1;
                strip.pixels = from.pixels;
                strip.channels = s.channels;
                strip.y = dx + n * image + from.to;
                strip.y_stride = from.to_stride;
                dispatch::active<T>().average_pool(strip);
            });
    });
}

template void max_pool2d(const Pool2dShape&, const float*, float*, std::int64_t*, int);
template void max_pool2d(const Pool2dShape&, const double*, double*, std::int64_t*, int);
template void average_pool2d(const Pool2dShape&, const float*, float*, int);
template void average_pool2d(const Pool2dShape&, const double*, double*, int);
template void average_pool2d_gradient(const Pool2dShape&, const float*, float*, int);
template void average_pool2d_gradient(const Pool2dShape&, const double*, double*, int);

}  // namespace fastconv::ops
