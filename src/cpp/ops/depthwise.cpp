#include "ops/depthwise.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "ops/cut.hpp"
#include "ops/reduction.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t tile_rows = 2;  // rows that the kernel computes at once
constexpr index_t items_per_thread = 4;
// Of a kernel gradient: fewer would not be worth the sums that each chunk has.
constexpr index_t chunk_outputs = index_t{64} << 10, chunk_pixels = 256;
constexpr index_t most_chunks = 32;

// Rows of each of about `bands` bands, in whole tiles.
index_t band_rows(index_t rows, index_t bands) {
    return std::max(tile_rows, pieces(pieces(rows, bands), tile_rows) * tile_rows);
}

bool touching(const Axis& axis) {
    for (std::size_t i = 1; i < axis.taps.size(); ++i)
        if (axis.taps[i].offset != axis.taps[i - 1].offset + 1) return false;
    return !axis.taps.empty();
}

template <class T>
bool knows(const Conv2dShape& s, const Axis& rows, const Axis& columns) {
    const std::size_t m = rows.taps.size(), n = columns.taps.size();
    const index_t step = rows.in_step;
    return s.in_channels >= dispatch::active<T>().lanes && touching(rows) && touching(columns) &&
           step == columns.in_step && ((m == 3 && n == 3 && step <= 2) || (m <= 2 && n <= 2 && step == 1));
}

template <class T>
kernels::DepthwiseWindows<T> windows_of(const Axis& rows, const Axis& columns, const Vectors& vectors) {
    const index_t channels = vectors.channels;
    kernels::DepthwiseWindows<T> windows{};
    windows.height = rows.in_length;
    windows.width = columns.in_length;
    windows.row_stride = columns.in_length * channels;
    windows.pixel_stride = channels;
    windows.row = rows.taps[0].offset;
    windows.column = columns.taps[0].offset;
    windows.step = rows.in_step;
    windows.tap_rows = static_cast<index_t>(rows.taps.size());
    windows.tap_columns = static_cast<index_t>(columns.taps.size());
    windows.rows = rows.length;
    windows.columns = columns.length;
    windows.channels = channels;
    windows.shift = vectors.shift;
    windows.last_vector = vectors.count();
    return windows;
}

// Pixels of some size share a few sets of the first-level cache: lines that are in two vectors would be read twice.
template <class T>
Vectors vectors_of(index_t channels, const T* aligned) {
    constexpr index_t least_bytes = 1024;
    const index_t lanes = dispatch::active<T>().lanes;
    const bool pays = channels * static_cast<index_t>(sizeof(T)) >= least_bytes && channels % lanes == 0;
    const auto elements = static_cast<index_t>(reinterpret_cast<std::uintptr_t>(aligned) / sizeof(T));
    return {channels, lanes, pays ? elements % lanes : 0};
}

template <class T>
runtime::Buffer<T> packed_weights(const Conv2dShape& s, const Vectors& vectors, const Axis& rows, const Axis& columns,
                                  const T* kernel) {
    const index_t taps = static_cast<index_t>(rows.taps.size() * columns.taps.size());
    runtime::Buffer<T> packed(static_cast<std::size_t>(vectors.count() * taps * vectors.lanes));
    T* out = packed.data();
    for (index_t i = 0; i < vectors.count(); ++i)
        for (const Tap& r : rows.taps)
            for (const Tap& t : columns.taps)
                out = std::copy_n(
                    kernel + (r.kernel_index * s.kernel_width + t.kernel_index) * vectors.channels + vectors.begin(i),
                    vectors.lanes, out);
    return packed;
}

}  // namespace

template <class T>
DepthwiseConv2d<T>::DepthwiseConv2d(const Conv2dShape& s, const T* aligned, index_t in_size, index_t out_height,
                                    index_t out_width, index_t stride)
    : vectors_(vectors_of(s.in_channels, aligned)),
      row_count_(pieces(out_height, stride)),
      in_size_(in_size),
      out_size_(out_height * out_width * s.in_channels),
      out_row_(out_width * s.in_channels),
      work_(s.multiplications() / static_cast<double>(std::max<index_t>(1, s.batch))) {}

template <class T>
bool DepthwiseConv2d<T>::add(const Axis& rows, const Axis& columns, const Conv2dShape& s, const T* kernel) {
    if (rows.length == 0 || columns.length == 0) return true;
    if (!knows<T>(s, rows, columns)) return false;
    Part part{};
    part.weights = packed_weights(s, vectors_, rows, columns, kernel);
    part.op.windows = windows_of<T>(rows, columns, vectors_);
    part.op.weights = part.weights.data();
    part.op.y_row_stride = rows.out_step * out_row_;
    part.op.y_pixel_stride = columns.out_step * s.in_channels;
    part.y_offset = rows.out_start * out_row_ + columns.out_start * s.in_channels;
    parts_.push_back(std::move(part));
    return true;
}

template <class T>
std::optional<DepthwiseConv2d<T>> DepthwiseConv2d<T>::forward(const Conv2dShape& s, const T* kernel,
                                                              const T* aligned) {
    if (!s.is_depthwise()) return {};
    DepthwiseConv2d conv(s, aligned, s.in_height * s.in_width * s.in_channels, s.out_height, s.out_width, 1);
    const Axis rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height, s.pad_top);
    const Axis columns =
        forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left);
    if (!conv.add(rows, columns, s, kernel)) return {};
    return conv;
}

template <class T>
std::optional<DepthwiseConv2d<T>> DepthwiseConv2d<T>::input_gradient(const Conv2dShape& s, const T* kernel,
                                                                     const T* aligned) {
    if (!s.is_depthwise()) return {};
    DepthwiseConv2d conv(s, aligned, s.out_height * s.out_width * s.in_channels, s.in_height, s.in_width,
                         s.stride_height);
    for (index_t i = 0; i < std::min(s.stride_height, s.in_height); ++i) {
        const Axis rows = gradient_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height,
                                        s.dilation_height, s.pad_top, i);
        for (index_t j = 0; j < std::min(s.stride_width, s.in_width); ++j) {
            const Axis columns = gradient_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width,
                                               s.dilation_width, s.pad_left, j);
            if (!conv.add(rows, columns, s, kernel)) return {};
        }
    }
    return conv;
}

template <class T>
void DepthwiseConv2d<T>::run(Range rows, const T* x, const T* bias, Activation activation, T* y) const {
    // Parts take turns, so that what all of them read and write is in the cache.
    const index_t at_once = parts_.size() > 1 ? tile_rows : rows.size();
    for (index_t row = rows.begin; row < rows.end; row += at_once) {
        for (const Part& part : parts_) {
            kernels::DepthwiseConv<T> op = part.op;
            op.windows.rows = std::min({row + at_once, rows.end, part.op.windows.rows}) - row;
            if (op.windows.rows <= 0) continue;
            op.windows.x = x;
            op.windows.row += row * op.windows.step;
            op.bias = bias;
            op.activation = activation;
            op.y = y + part.y_offset + row * op.y_row_stride;
            dispatch::active<T>().depthwise_conv(op);
        }
    }
}

template <class T>
void DepthwiseConv2d<T>::run_all(index_t batch, const T* x, const T* bias, Activation activation, T* y,
                                 int num_threads) const {
    const int threads = runtime::thread_count(batch * row_count_, work_ * static_cast<double>(batch), num_threads);
    const index_t wanted = threads > 1 ? items_per_thread * threads : 1;
    const index_t band = band_rows(row_count_, pieces(wanted, batch)), bands = pieces(row_count_, band);
    runtime::parallel_for(batch * bands, threads, [&](index_t item, int) {
        const index_t image = item / bands, row = item % bands * band;
        run({row, std::min(row_count_, row + band)}, x + image * in_size_, bias, activation, y + image * out_size_);
    });
}

template <class T>
bool depthwise_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads) {
    if (!s.is_depthwise() || s.batch == 0) return false;
    const Axis rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height, s.pad_top);
    const Axis columns =
        forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left);
    if (rows.taps.size() != 3 || s.kernel_height != 3 || s.kernel_width != 3 || !knows<T>(s, rows, columns))
        return false;

    // Chunks, several images or a band of rows of one, are fixed by the shape alone: each has sums of its own, added
    // in order. Threads that lack chunks share the channels.
    const Vectors vectors = vectors_of(s.in_channels, x);
    const index_t sums_size = vectors.count() * 9 * vectors.lanes;
    const index_t wanted =
        std::clamp<index_t>(s.output_size() / std::max(chunk_outputs, chunk_pixels * s.in_channels), 1, most_chunks);
    const index_t images = std::max<index_t>(1, s.batch / wanted);
    const index_t band = band_rows(s.out_height, pieces(wanted, s.batch)), bands = pieces(s.out_height, band);
    const index_t chunks = pieces(s.batch, images) * bands;
    const int threads = runtime::thread_count(chunks * vectors.count(), s.multiplications(), num_threads);
    const index_t parts = std::min(pieces(threads > 1 ? items_per_thread * threads : 1, chunks), vectors.count());

    const runtime::Buffer<T> partials(static_cast<std::size_t>((chunks > 1 ? chunks + 1 : 1) * sums_size));
    const index_t in_size = s.in_height * s.in_width * s.in_channels, out_row = s.out_width * s.in_channels;
    runtime::parallel_for(chunks * parts, threads, [&](index_t item, int) {
        const index_t chunk = item / parts;
        const auto [first, last] =
            runtime::share(vectors.count(), static_cast<int>(item % parts), static_cast<int>(parts));
        kernels::DepthwiseGradient<T> op{};
        op.windows = windows_of<T>(rows, columns, vectors);
        op.windows.first_vector = first;
        op.windows.last_vector = last;
        op.grad_row_stride = out_row;
        op.grad_pixel_stride = s.in_channels;
        op.sums = partials.data() + chunk * sums_size;
        std::fill_n(op.sums + first * 9 * vectors.lanes, (last - first) * 9 * vectors.lanes, T(0));
        const index_t row = chunk % bands * band, image = chunk / bands * images;
        op.windows.rows = std::min(band, s.out_height - row);
        op.windows.row += row * op.windows.step;
        for (index_t n = image; n < std::min(s.batch, image + images); ++n) {
            op.windows.x = x + n * in_size;
            op.grad = grad + (n * s.out_height + row) * out_row;
            dispatch::active<T>().depthwise_gradient(op);
        }
    });

    T* const total = partials.data() + (chunks > 1 ? chunks * sums_size : 0);
    if (chunks > 1) add_partials(chunks, sums_size, sums_size, partials.data(), total, num_threads);
    const T* sum = total;
    for (index_t i = 0; i < vectors.count(); ++i)
        for (index_t t = 0; t < 9; ++t, sum += vectors.lanes)
            std::copy_n(sum, vectors.lanes, dkernel + t * s.in_channels + vectors.begin(i));
    return true;
}

template class DepthwiseConv2d<float>;
template class DepthwiseConv2d<double>;
template bool depthwise_kernel_gradient(const Conv2dShape&, const float*, const float*, float*, int);
template bool depthwise_kernel_gradient(const Conv2dShape&, const double*, const double*, double*, int);

}  // namespace fastconv::ops
