// dW[r,s,c,k] = sum over images and outputs (p,q) of x[n, p*stride - pad + r*dilation, q..., c] * grad[n,p,q,k],
// and the bias gradient.
//
// The rows of a tile are input channels (and neighbouring taps, where they follow each other in memory), its
// columns output channels; the sum runs over the output pixels of several images while the tile stays in registers.
// Images, or slices of rows of large ones, are chunks, fixed by the shape alone; each chunk has a gradient of its
// own, and these are added in order: the bits do not depend on the number of threads. Large images go by in bands of
// rows, each for all tiles.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "ops/blocked_kernel_gradient.hpp"
#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "ops/depthwise.hpp"
#include "ops/packing.hpp"
#include "ops/reduction.hpp"
#include "ops/winograd_kernel_gradient.hpp"
#include "ops/winograd_parts_gradient.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t chunk_bytes = index_t{512} << 10;        // images of a chunk stay in the second-level cache
constexpr index_t most_partial_bytes = index_t{32} << 20;  // of all chunks' gradients
constexpr index_t most_chunks = 64;
constexpr index_t enough_chunks = 8, pixels_of_slice = 512, few_rows = 56;
constexpr index_t pixels_per_call = 256;            // long enough to make loading and storing the tile cheap
constexpr index_t band_bytes = index_t{384} << 10;  // of a large image, for all tiles to find it in the cache

// Rows of dW that one call computes: taps [first, last) of kernel row `r`, all with the same outputs.
struct Unit {
    index_t r, first, last;
    Range out_rows, out_columns;
    bool one_run;  // of an image: the outputs follow each other in memory, else those of a row do
    std::vector<index_t> in_offsets, grad_offsets;
};

struct Chunks {
    index_t count, images, images_per_call;
    Cut slices;  // rows of an image that are a chunk; all of them if it holds several
};

Chunks chunks_of(const Conv2dShape& s, index_t element_bytes) {
    const index_t image = s.in_height * s.in_width * s.in_channels + s.out_height * s.out_width * s.out_channels;
    const index_t by_cache = std::max<index_t>(1, chunk_bytes / std::max<index_t>(1, image * element_bytes));
    const index_t by_memory = most_partial_bytes / std::max<index_t>(1, s.kernel_size() * element_bytes);
    const index_t most = std::clamp<index_t>(by_memory, 1, most_chunks);
    const index_t images = std::max({index_t{1}, std::min(by_cache, s.batch), (s.batch + most - 1) / most});
    const index_t pixels = std::max<index_t>(1, s.out_height * s.out_width), count = pieces(s.batch, images);
    // Few large images and so few rows of dW that, dealt out to threads, they would be less than a tile for each.
    const index_t rows = s.kernel_height * s.kernel_width * s.group_in_channels();
    index_t slices = 1;
    if (images == 1 && count > 0 && count < enough_chunks && rows < few_rows)
        slices = std::min({pieces(enough_chunks, count), pixels / pixels_of_slice, by_memory / count});
    slices = static_cast<index_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<index_t>(1, slices))));
    const Cut cut(s.out_height, pieces(s.out_height, slices), 1);
    return {count * cut.count, images, std::min(images, pieces(pixels_per_call, pixels)), cut};
}

// Whether blocked_kernel_gradient is faster: where pixels lie far apart, enough columns repay the copy of x, and the
// gradients of all chunks, which are stored and read again, do not stay in the second-level cache. Percent of peak on
// Zen 4, AVX-512, float32, 2 threads, in place and packed, by channels and size of the output:
//
//   batch 8                     in place  packed     batch 1                     in place  packed
//   64 -> 256          56x56          67      68     512 -> 128         28x28          93      85
//   256 -> 64          56x56          78      70     256 -> 1024        14x14          87      80
//   128 -> 512         28x28          79      72     512 -> 512         14x14          85      80
//   512 -> 128         28x28          60      70     512 -> 1024        7x7            66      70
//   256 -> 256         28x28          76      80     1024 -> 1024       7x7            58      66
//   256 -> 1024        14x14          74      85     1024 -> 2048, /2   7x7            66      70
//   512 -> 512         14x14          67      86     5x5, 48 -> 128     27x27          98      89
//   512 -> 1024        7x7            53      87     3x3, 192 -> 192    13x13          84      91
//   2048 -> 512        7x7            43      82     3x3, 192 -> 128    13x13          86      88
bool packing_pays(const Conv2dShape& s, const Chunks& chunks, index_t element_bytes) {
    constexpr index_t far_channels = 192, enough_filters = 128, cached_bytes = index_t{1} << 20;
    return !s.is_depthwise() && s.in_channels >= far_channels && s.group_out_channels() >= enough_filters &&
           chunks.count * s.kernel_size() * element_bytes > cached_bytes;
}

std::vector<Unit> units_of(const Conv2dShape& s, bool depthwise, Strides in, Strides grad, index_t images_per_call) {
    const bool neighbours = depthwise || (s.groups == 1 && s.dilation_width == 1);
    std::vector<Unit> units;
    for (index_t r = 0; r < s.kernel_height; ++r) {
        const index_t offset = r * s.dilation_height - s.pad_top;
        const Range out_rows = outputs_reading(offset, s.in_height, s.out_height, s.stride_height);
        for (index_t t = 0; t < s.kernel_width; ++t) {
            const Range columns =
                outputs_reading(t * s.dilation_width - s.pad_left, s.in_width, s.out_width, s.stride_width);
            if (out_rows.size() == 0 || columns.size() == 0) continue;
            const bool same = !units.empty() && units.back().r == r && units.back().last == t &&
                              units.back().out_columns.begin == columns.begin &&
                              units.back().out_columns.end == columns.end;
            if (neighbours && same)
                units.back().last = t + 1;
            else
                units.push_back({r, t, t + 1, out_rows, columns, false, {}, {}});
        }
    }
    for (Unit& unit : units) {
        const index_t in_row = s.stride_height * in.row;
        unit.one_run = unit.out_columns.size() == s.out_width && s.out_width * s.stride_width * in.pixel == in_row;
        const index_t rows = unit.one_run ? 1 : unit.out_rows.size();
        const index_t in_first =
            (unit.r * s.dilation_height - s.pad_top + unit.out_rows.begin * s.stride_height) * in.row +
            (unit.first * s.dilation_width - s.pad_left + unit.out_columns.begin * s.stride_width) * in.pixel;
        const index_t grad_first = unit.out_rows.begin * grad.row + unit.out_columns.begin * grad.pixel;
        for (index_t n = 0; n < images_per_call; ++n) {
            for (index_t p = 0; p < rows; ++p) {
                unit.in_offsets.push_back(n * in.image + in_first + p * in_row);
                unit.grad_offsets.push_back(n * grad.image + grad_first + p * grad.row);
            }
        }
    }
    return units;
}

// grad with its channels padded to whole vectors, as the kernels read them.
template <class T>
runtime::Buffer<T> with_whole_vectors(index_t pixels, index_t stride, index_t channels, index_t padded, const T* grad,
                                      int num_threads) {
    runtime::Buffer<T> copy(static_cast<std::size_t>(pixels * padded));
    constexpr index_t piece = 256;
    const index_t items = (pixels + piece - 1) / piece;
    const int threads =
        runtime::thread_count(items, runtime::work_of_memory * static_cast<double>(pixels * padded), num_threads);
    runtime::parallel_for(items, threads, [&](index_t item, int) {
        for (index_t i = item * piece; i < std::min(pixels, (item + 1) * piece); ++i) {
            T* out = copy.data() + i * padded;
            std::memcpy(out, grad + i * stride, static_cast<std::size_t>(channels) * sizeof(T));
            std::memset(out + channels, 0, static_cast<std::size_t>(padded - channels) * sizeof(T));
        }
    });
    return copy;
}

// One group's rows and columns of dW for every chunk, to partial[chunk].
template <class T>
void accumulate_group(const Conv2dShape& s, const std::vector<Unit>& units, const Chunks& chunks, bool depthwise,
                      Strides in, Strides grad_strides, const T* x, const T* grad, T* partial, double work,
                      int num_threads) {
    const auto& kernels = dispatch::active<T>();
    const index_t columns = depthwise ? s.out_channels : s.group_out_channels();
    const index_t channels = s.group_in_channels();
    const index_t kernel_size = s.kernel_size();

    kernels::BatchReduce<T> common{};
    common.a_row_stride = depthwise ? s.dilation_width * in.pixel : 1;
    common.a_depth_stride = s.stride_width * in.pixel;
    common.b_depth_stride = grad_strides.pixel;
    common.block_vectors = depthwise ? kernels.block_vectors : block_vectors<T>(columns);
    common.b_block_stride = common.block_vectors * kernels.lanes;
    common.c_row_stride = s.out_channels;
    common.columns = columns;

    // Some rows of a unit over some rows of outputs of some images; to a chunk's first there is nothing to add.
    const auto add = [&](const Unit& unit, Range rows, index_t first_image, index_t images, Range outputs, T* dw) {
        kernels::BatchReduce<T> op = common;
        const index_t skipped = outputs.begin - unit.out_rows.begin;
        op.accumulate = skipped > 0 || first_image % chunks.images > 0;
        op.a = x + first_image * in.image + rows.begin * op.a_row_stride;
        op.b = grad + first_image * grad_strides.image;
        op.a_offsets = unit.in_offsets.data();
        op.b_offsets = unit.grad_offsets.data();
        if (unit.one_run) {
            op.count = images;
            op.depth = outputs.size() * s.out_width;
            op.a += skipped * s.out_width * op.a_depth_stride;
            op.b += skipped * s.out_width * op.b_depth_stride;
        } else {
            op.count = images * outputs.size();
            op.depth = unit.out_columns.size();
            op.a_offsets += skipped;
            op.b_offsets += skipped;
        }
        op.rows = rows.size();
        op.c = dw + ((unit.r * s.kernel_width + unit.first) * channels + rows.begin) * s.out_channels;
        (depthwise ? kernels.batch_reduce_diagonal : kernels.batch_reduce)(op);
    };

    const auto rows_of = [&](const Unit& unit) { return (unit.last - unit.first) * (depthwise ? 1 : channels); };
    index_t all_rows = 0;
    for (const Unit& unit : units) all_rows += rows_of(unit);
    const index_t read = std::min(s.stride_height, s.kernel_height) * std::min(s.stride_width, s.kernel_width);
    const index_t pixel_bytes = (read * (depthwise ? columns : channels) + columns) * static_cast<index_t>(sizeof(T));
    const index_t pixels = std::max(pixels_per_call, band_bytes / pixel_bytes);
    const Cut bands(s.out_height, chunks.images_per_call > 1 ? s.out_height : pieces(pixels, s.out_width), 1);

    // Few chunks: the rows are dealt out as well.
    const int threads = runtime::thread_count(chunks.count * all_rows, work, num_threads);
    const index_t wanted = threads > 1 ? 4 * threads : 1;
    const index_t parts = std::min(pieces(wanted, chunks.count), std::max<index_t>(1, all_rows));
    runtime::parallel_for(chunks.count * parts, threads, [&](index_t item, int) {
        const index_t chunk = item / parts;
        const auto [first_row, last_row] =
            runtime::share(all_rows, static_cast<int>(item % parts), static_cast<int>(parts));
        const index_t image = chunk / chunks.slices.count * chunks.images;
        const Range slice = chunks.slices[chunk % chunks.slices.count];
        const index_t last_image = std::min(s.batch, image + chunks.images);
        for (index_t n = image; n < last_image; n += chunks.images_per_call) {
            const index_t images = std::min(chunks.images_per_call, last_image - n);
            for (index_t band = 0; band < bands.count; ++band) {
                index_t before = 0;  // rows of the units before
                for (const Unit& unit : units) {
                    const Range rows = overlap({0, rows_of(unit)}, {first_row - before, last_row - before});
                    const Range outputs = overlap(overlap(unit.out_rows, bands[band]), slice);
                    if (rows.size() > 0 && outputs.size() > 0)
                        add(unit, rows, n, images, outputs, partial + chunk * kernel_size);
                    before += rows_of(unit);
                }
            }
        }
    });
}

}  // namespace

template <class T>
void conv2d_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads) {
    const index_t kernel_size = s.kernel_size();
    if (kernel_size == 0 || depthwise_kernel_gradient(s, x, grad, dkernel, num_threads) ||
        winograd_kernel_gradient(s, x, grad, dkernel, num_threads) ||
        winograd_parts_kernel_gradient(s, x, grad, dkernel, num_threads))
        return;
    const Chunks chunks = chunks_of(s, sizeof(T));
    if (packing_pays(s, chunks, sizeof(T))) return blocked_kernel_gradient(s, x, grad, dkernel, num_threads);
    const bool depthwise = s.is_depthwise();
    const index_t groups = depthwise ? 1 : s.groups;
    const index_t channels = s.in_channels / groups, filters = s.out_channels / groups;
    const index_t lanes = dispatch::active<T>().lanes;
    const bool copied = !depthwise && filters % lanes != 0;
    const index_t padded = (filters + lanes - 1) / lanes * lanes;

    const Strides in = dense_strides(s.in_height, s.in_width, s.in_channels);
    const Strides grad_strides = dense_strides(s.out_height, s.out_width, copied ? padded : s.out_channels);
    const std::vector<Unit> units =
        units_of(s, depthwise, in, grad_strides, std::max<index_t>(1, chunks.images_per_call));

    runtime::Buffer<T> partials(chunks.count > 1 ? static_cast<std::size_t>(chunks.count * kernel_size) : 0);
    T* partial = chunks.count > 1 ? partials.data() : dkernel;
    index_t taps = 0;
    for (const Unit& unit : units) taps += unit.last - unit.first;
    // Some are not computed, or their slices of rows are added to what is there.
    if (s.batch == 0 || taps < s.kernel_height * s.kernel_width || chunks.slices.count > 1)
        std::memset(partial, 0,
                    static_cast<std::size_t>(std::max<index_t>(1, chunks.count) * kernel_size) * sizeof(T));
    if (s.batch == 0) return;

    const double work = s.multiplications() / static_cast<double>(groups);
    for (index_t g = 0; g < groups; ++g) {
        const T* group_grad = grad + g * filters;
        runtime::Buffer<T> copy;
        if (copied) {
            const index_t pixels = s.batch * s.out_height * s.out_width;
            copy = with_whole_vectors(pixels, s.out_channels, filters, padded, group_grad, num_threads);
            group_grad = copy.data();
        }
        accumulate_group(s, units, chunks, depthwise, in, grad_strides, x + g * channels, group_grad,
                         partial + g * filters, work, num_threads);
    }
    if (chunks.count > 1) add_partials(chunks.count, kernel_size, kernel_size, partial, dkernel, num_threads);
}

template <class T>
void bias_gradient(index_t rows, index_t channels, const T* grad, T* dbias, int num_threads) {
    if (channels == 0) return;
    // Short runs, added to the sums of a chunk, chunks added in order: fixed by the shape, and more accurate.
    constexpr index_t run = 256;
    const index_t chunks = std::clamp<index_t>(rows * channels / 65536, 1, most_chunks);
    const index_t chunk_rows = (rows + chunks - 1) / chunks;
    runtime::Buffer<T> partials(static_cast<std::size_t>(chunks * channels));
    std::memset(partials.data(), 0, static_cast<std::size_t>(chunks * channels) * sizeof(T));
    const double work = runtime::work_of_memory * static_cast<double>(rows * channels);
    runtime::parallel_for(chunks, runtime::thread_count(chunks, work, num_threads), [&](index_t chunk, int) {
        const index_t last = std::min(rows, (chunk + 1) * chunk_rows);
        for (index_t row = chunk * chunk_rows; row < last; row += run)
            dispatch::active<T>().add_column_sums(std::min(run, last - row), channels, grad + row * channels,
                                                  partials.data() + chunk * channels);
    });
    add_partials(chunks, channels, channels, partials.data(), dbias, num_threads);
}

template void conv2d_kernel_gradient(const Conv2dShape&, const float*, const float*, float*, int);
template void conv2d_kernel_gradient(const Conv2dShape&, const double*, const double*, double*, int);
template void bias_gradient(index_t, index_t, const float*, float*, int);
template void bias_gradient(index_t, index_t, const double*, double*, int);

}  // namespace fastconv::ops
