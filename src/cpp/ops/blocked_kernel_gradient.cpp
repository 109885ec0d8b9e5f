// dW[tap][c][k] = sum over output pixels of x[the pixel that the tap reads][c] * grad[pixel][k]: for each tap a
// product of two matrices, whose common side, the pixels, lies C or K elements apart in both.
//
// An item is a slice of the rows (tap, c) and one of the columns k. Block after block of pixels, both sides are
// packed, grad into panels as wide as a tile, so that tiles read dense memory, and their product is added to dW in
// place. Of x, which is read by broadcasts, pixels are copied as they are: in panels of a tile's few rows they took
// 2.5 times as long (28x28 256 -> 512 at stride 2, batch 8: 18 % of all).
// Where dW is too small for enough items, pixels are cut into chunks, each with a gradient of its own, added in
// order. Blocks and chunks are cut by the shape alone: the bits do not depend on the number of threads.
#include "ops/blocked_kernel_gradient.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/contraction.hpp"
#include "ops/packing.hpp"
#include "ops/reduction.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// Slices of rows and columns, and pixels of a block: both sides and the slice of dW are three quarters of a
// second-level cache of 1 MB. Half as many pixels: up to 10 % slower.
constexpr index_t most_rows = 256, most_columns = 256, most_pixels = 256;
constexpr index_t fewest_rows = 64;                        // of a slice that is made smaller for more threads
constexpr index_t enough_items = 16;                       // not more chunks than that,
constexpr index_t chunk_pixels = 1024;                     // nor smaller ones: dW is stored and read for each
constexpr index_t most_partial_bytes = index_t{32} << 20;  // of all chunks' gradients

struct TapOutputs {
    Range rows, columns;  // outputs that read it
    index_t in_offset;    // of what the first output of an image would read

    bool has(index_t row, index_t column) const {
        return row >= rows.begin && row < rows.end && column >= columns.begin && column < columns.end;
    }
};

std::vector<TapOutputs> taps_of(const Conv2dShape& s, Strides in) {
    std::vector<TapOutputs> taps;
    for (index_t r = 0; r < s.kernel_height; ++r)
        for (index_t t = 0; t < s.kernel_width; ++t) {
            const index_t row = r * s.dilation_height - s.pad_top, column = t * s.dilation_width - s.pad_left;
            taps.push_back({outputs_reading(row, s.in_height, s.out_height, s.stride_height),
                            outputs_reading(column, s.in_width, s.out_width, s.stride_width),
                            row * in.row + column * in.pixel});
        }
    return taps;
}

// 1x1, unit stride, no padding: all pixels are one row.
Conv2dShape with_long_rows(Conv2dShape s) {
    if (s.kernel_height == 1 && s.kernel_width == 1 && s.in_height == s.out_height && s.in_width == s.out_width &&
        s.stride_height == 1 && s.stride_width == 1 && s.pad_top == 0 && s.pad_left == 0) {
        s.in_width = s.out_width = s.batch * s.out_height * s.out_width;
        s.batch = s.in_height = s.out_height = 1;
    }
    return s;
}

// An odd number of cache lines: panels that are written side by side, and pixels that are read one after the other,
// fall into different sets of the cache.
template <class T>
index_t panel_stride(index_t size) {
    constexpr index_t line = 64 / sizeof(T);
    return (pieces(size, line) | 1) * line;
}

template <class T>
class Blocked {
  public:
    Blocked(const Conv2dShape& shape, int num_threads)
        : kernels_(dispatch::active<T>()),
          s_(with_long_rows(shape)),
          in_(dense_strides(s_.in_height, s_.in_width, s_.in_channels)),
          taps_(taps_of(s_, in_)),
          vectors_(block_vectors<T>(s_.group_out_channels())),
          width_(vectors_ * kernels_.lanes),
          height_(kernels_.tile_rows[vectors_ - 1]),
          pixel_columns_(s_.out_width, most_pixels, 1),
          pixel_rows_(s_.batch * s_.out_height, most_pixels / pixel_columns_.piece, 1),
          channels_(s_.group_in_channels(), most_rows, height_),
          strips_(strips_of(most_rows)),
          filters_(s_.group_out_channels(), most_columns, width_) {
        const index_t pixels = s_.batch * s_.out_height * s_.out_width;
        const index_t by_memory = most_partial_bytes / (s_.kernel_size() * static_cast<index_t>(sizeof(T)));
        chunks_ = std::max<index_t>(1, std::min({pieces(enough_items, items()), pixels / chunk_pixels, by_memory,
                                                 pixel_columns_.count * pixel_rows_.count}));
        // Unlike chunks, slices do not change the order of additions: they may depend on the number of threads.
        const index_t smallest_items = s_.groups * static_cast<index_t>(taps_.size()) * s_.group_in_channels();
        threads_ = runtime::thread_count(smallest_items, s_.multiplications(), num_threads);
        for (index_t rows = most_rows / 2, columns = most_columns / 2; items() < threads_ && rows >= fewest_rows;
             rows /= 2, columns /= 2) {
            channels_ = Cut(s_.group_in_channels(), rows, height_);
            strips_ = strips_of(rows);
            if (items() < threads_) filters_ = Cut(s_.group_out_channels(), columns, width_);
        }
        threads_ = static_cast<int>(std::min<index_t>(threads_, items()));
        const index_t pixels_of_block = pixel_columns_.piece * pixel_rows_.piece;
        a_pixel_ = panel_stride<T>(channels_.piece);
        b_panel_ = panel_stride<T>(pixels_of_block * width_);
        a_size_ = pixels_of_block * a_pixel_;
        b_size_ = pieces(filters_.piece, width_) * b_panel_;
    }

    void run(const T* x, const T* grad, T* dkernel, int num_threads) const {
        runtime::Buffer<T> partials(chunks_ > 1 ? static_cast<std::size_t>(chunks_ * s_.kernel_size()) : 0);
        runtime::Buffer<T> scratch(static_cast<std::size_t>(threads_ * (a_size_ + b_size_)));
        T* partial = chunks_ > 1 ? partials.data() : dkernel;
        runtime::parallel_for(items(), threads_, [&](index_t item, int thread) {
            const index_t filters = item % filters_.count, strips = item / filters_.count % strips_.count;
            const index_t group = item / filters_.count / strips_.count % s_.groups;
            const index_t chunk = item / filters_.count / strips_.count / s_.groups;
            T* a = scratch.data() + thread * (a_size_ + b_size_);
            run_item(chunk, group, strips_[strips], filters_[filters], x, grad, a, a + a_size_,
                     partial + chunk * s_.kernel_size());
        });
        if (chunks_ > 1) add_partials(chunks_, s_.kernel_size(), s_.kernel_size(), partial, dkernel, num_threads);
    }

  private:
    Cut strips_of(index_t rows) const {
        return {static_cast<index_t>(taps_.size()) * channels_.count, rows / channels_.piece, 1};
    }
    index_t items() const { return chunks_ * s_.groups * strips_.count * filters_.count; }

    void run_item(index_t chunk, index_t group, Range strips, Range filters, const T* x, const T* grad, T* a, T* b,
                  T* dw) const {
        if (filters.size() % width_ != 0)  // what a last vector holds beyond the columns is computed and left
            std::memset(b + filters.size() / width_ * b_panel_, 0, static_cast<std::size_t>(b_panel_) * sizeof(T));
        const index_t first_filter = group * s_.group_out_channels() + filters.begin;
        const auto [first, last] = runtime::share(pixel_columns_.count * pixel_rows_.count, static_cast<int>(chunk),
                                                  static_cast<int>(chunks_));
        for (index_t block = first; block < last; ++block) {
            const Range rows = pixel_rows_[block / pixel_columns_.count];
            const Range columns = pixel_columns_[block % pixel_columns_.count];
            for (index_t row = rows.begin; row < rows.end; ++row)
                kernels_.pack_panels(columns.size(), filters.size(),
                                     grad + (row * s_.out_width + columns.begin) * s_.out_channels + first_filter,
                                     s_.out_channels, width_, b + (row - rows.begin) * columns.size() * width_,
                                     b_panel_);
            for (index_t strip = strips.begin; strip < strips.end; ++strip) {
                const index_t tap = strip / channels_.count;
                const Range channels = channels_[strip % channels_.count];
                const TapOutputs& outputs = taps_[static_cast<std::size_t>(tap)];
                const T* const from = x + group * s_.group_in_channels() + channels.begin;
                // Meanwhile the next block is asked for: of x, if this is all that the item reads.
                const auto ahead = [&](index_t part, index_t parts) {
                    if (block + 1 == last || strip > strips.begin) return;
                    const Range next_rows = pixel_rows_[(block + 1) / pixel_columns_.count];
                    const Range next_columns = pixel_columns_[(block + 1) % pixel_columns_.count];
                    const Range some = equal_part(next_rows.size() * next_columns.size(), part, parts);
                    for (index_t i = some.begin; i < some.end; ++i) {
                        const index_t row = next_rows.begin + i / next_columns.size();
                        const index_t column = next_columns.begin + i % next_columns.size();
                        fetch(grad + (row * s_.out_width + column) * s_.out_channels + first_filter, filters.size());
                        if (strips.size() == 1 && outputs.has(row % s_.out_height, column))
                            fetch(from + in_offset(outputs, row) + column * s_.stride_width * in_.pixel,
                                  channels.size());
                    }
                };
                add_strip(outputs, rows, columns, channels.size(), filters.size(), from, a, b,
                          dw + (tap * s_.group_in_channels() + channels.begin) * s_.out_channels + first_filter,
                          block > first, ahead);
            }
        }
    }

    static void fetch(const T* from, index_t size) {
        constexpr int second_level = 2;  // of the caches
        constexpr index_t line = 64 / sizeof(T);
        for (index_t i = 0; i < size; i += line) __builtin_prefetch(from + i, 0, second_level);
        asm volatile("");  // GCC 12 takes a function that only asks for memory for one without effect
    }

    // Of what the first output of a row, counted through all images, would read.
    index_t in_offset(const TapOutputs& tap, index_t row) const {
        return row / s_.out_height * in_.image + tap.in_offset + row % s_.out_height * s_.stride_height * in_.row;
    }

    // Output pixels of a block, some channels and some filters of a tap; before each tile ahead(tiles done, all).
    template <class Ahead>
    void add_strip(const TapOutputs& tap, Range rows, Range columns, index_t channels, index_t filters, const T* x,
                   T* a, const T* b, T* dw, bool accumulate, const Ahead& ahead) const {
        const Range inside = overlap(columns, tap.columns);
        index_t a_offsets[most_pixels], b_offsets[most_pixels];
        index_t count = 0;
        for (index_t row = rows.begin; row < rows.end && inside.size() > 0; ++row) {
            if (!tap.has(row % s_.out_height, inside.begin)) continue;
            const T* in = x + in_offset(tap, row) + inside.begin * s_.stride_width * in_.pixel;
            a_offsets[count] = count * inside.size() * a_pixel_;
            b_offsets[count] = ((row - rows.begin) * columns.size() + inside.begin - columns.begin) * width_;
            kernels_.pack_panels(inside.size(), channels, in, s_.stride_width * in_.pixel, a_pixel_,
                                 a + a_offsets[count], 0);
            ++count;
        }
        if (count == 0) {
            for (index_t c = 0; c < channels && !accumulate; ++c)
                std::memset(dw + c * s_.out_channels, 0, static_cast<std::size_t>(filters) * sizeof(T));
            return;
        }
        kernels::BatchReduce<T> op{};
        op.a_row_stride = 1;
        op.a_depth_stride = a_pixel_;
        op.a_offsets = a_offsets;
        op.b_depth_stride = width_;
        op.b_offsets = b_offsets;
        const bool dense = count == rows.size() && inside.size() == columns.size();
        op.count = dense ? 1 : count;
        op.depth = dense ? count * inside.size() : inside.size();
        op.c_row_stride = s_.out_channels;
        op.block_vectors = vectors_;
        op.accumulate = accumulate;
        const index_t tile_rows = pieces(channels, height_), tiles = pieces(filters, width_) * tile_rows;
        for (index_t k = 0; k < filters; k += width_) {
            op.b = b + k / width_ * b_panel_;
            op.columns = std::min(width_, filters - k);
            for (index_t c = 0; c < channels; c += height_) {
                op.a = a + c;
                op.rows = std::min(height_, channels - c);
                op.c = dw + c * s_.out_channels + k;
                ahead(k / width_ * tile_rows + c / height_, tiles);
                kernels_.batch_reduce(op);
            }
        }
    }

    const kernels::KernelsOf<T>& kernels_;
    Conv2dShape s_;
    Strides in_;
    std::vector<TapOutputs> taps_;
    int vectors_;
    index_t width_, height_;           // of a tile
    Cut pixel_columns_, pixel_rows_;   // of all images' outputs, into blocks
    Cut channels_, strips_, filters_;  // strips: the slices of channels, tap by tap
    index_t chunks_ = 1;
    int threads_;
    index_t a_pixel_, b_panel_, a_size_, b_size_;
};

}  // namespace

template <class T>
void blocked_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads) {
    Blocked<T>(s, num_threads).run(x, grad, dkernel, num_threads);
}

template void blocked_kernel_gradient(const Conv2dShape&, const float*, const float*, float*, int);
template void blocked_kernel_gradient(const Conv2dShape&, const double*, const double*, double*, int);

}  // namespace fastconv::ops
