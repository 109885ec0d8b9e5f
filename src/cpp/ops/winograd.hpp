// The matrix products of a convolution by Winograd, tile after tile (formulas: kernels/winograd.hpp): 16 for F(2x2,
// 3x3), 36 for F(4x4, 3x3).
//
// A kernel of more taps is cut into parts of at most 3x3, each with patches further on: their products add up.
//
// Tiles of outputs are counted through all rows of all images. A block of them is transformed, multiplied by the
// transformed weights position by position, and read by whoever transforms back: its buffers stay in the cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "ops/winograd_choice.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

struct TileGrid {
    index_t rows, columns;  // of an image
    index_t outputs = 2;    // of a tile, along each axis

    // The tiles of results of this size, the last ones partly outside.
    static TileGrid of(index_t height, index_t width, index_t outputs = 2) {
        return {(height + outputs - 1) / outputs, (width + outputs - 1) / outputs, outputs};
    }

    index_t per_image() const { return rows * columns; }

    // body(image, row, column, count, before): `count` tiles of a row from `column` on, `before` others of the range
    // being before them.
    template <class Body>
    void for_runs(Range tiles, const Body& body) const {
        for (index_t tile = tiles.begin; tile < tiles.end;) {
            const index_t column = tile % columns;
            const index_t count = std::min(columns - column, tiles.end - tile);
            body(tile / per_image(), tile / columns % rows, column, count, tile - tiles.begin);
            tile += count;
        }
    }
};

// Between the positions of transformed tiles: one cache line more, so that they do not share its sets.
template <class T>
index_t position_stride(index_t elements) {
    constexpr index_t line = 64 / static_cast<index_t>(sizeof(T));
    return (elements + 2 * line - 1) / (2 * line) * (2 * line) + line;
}

// Scratch for all threads, on huge pages: 16 or 36 positions are more streams than small pages are translated for at
// once.
template <class T>
runtime::Buffer<T> scratch_of_threads(int threads, index_t thread_size) {
    return runtime::Buffer<T>(
        std::max(static_cast<std::size_t>(threads * thread_size), runtime::huge_page / sizeof(T)));
}

// What is transformed: images, of which the patch of the first tile begins at (row, column).
struct TiledImages {
    index_t height, width, channels;
    index_t row, column;
};

// Some channels of the tiles' patches, transformed by one of the kernels input and winograd_gradient, to
// v[position][tile][channel], positions position_stride(tiles * channels) apart.
template <class T>
void transform_patches(void (*kernel)(const kernels::WinogradInput<T>&), const TileGrid& grid,
                       const TiledImages& images, Range tiles, Range channels, const T* x, T* v);

// Some taps of a kernel as the sums have it, turned for an input gradient: at most 3x3 from (row, column) on.
struct KernelPart {
    index_t row, column, rows, columns;

    // Whether the weights at a position, of `size` along each axis, are not all zero: the last takes the third tap.
    bool has(index_t position, index_t size) const {
        return (rows == 3 || position / size < size - 1) && (columns == 3 || position % size < size - 1);
    }
};

inline constexpr index_t most_kernel_parts = 16;

std::vector<KernelPart> kernel_parts(index_t height, index_t width);

// Transformed weights as the products read them: [block of columns][part][position][channel][width].
template <class T>
struct WeightsView {
    const T* data;
    index_t position_stride, block_stride;
    Range parts, channels;
};

// Weights, and how they are transformed: all at once and kept, or some blocks of columns at a time.
template <class T>
class TransformedWeights {
  public:
    using Transforms = kernels::WinogradTransforms<T>;

    // With `vectors` of columns in a block. `kernel` is read by prepare() and transform().
    TransformedWeights(const Conv2dShape& shape, const T* kernel, Direction direction, int vectors,
                       const Transforms& transforms);

    // Before of_blocks() by any thread: transforms all of them.
    void prepare(int num_threads);
    // Before of_blocks() by the first `threads` threads alone: if they are small, each transforms a copy of all of
    // them when it first asks, which takes less time than they need from another processor's caches.
    void prepare_each(int threads);
    WeightsView<T> of_blocks(index_t group, Range blocks, int thread) const {
        return {data_of(thread) + group * group_stride_ + blocks.begin * block_stride_,
                position_stride_,
                block_stride_,
                all_parts(),
                {0, channels}};
    }

    // Transforms a part of some blocks of a group, and some of its channels, to scratch.
    static constexpr index_t channels_at_once = 64;
    WeightsView<T> transform(index_t group, Range blocks, index_t part, Range channels, T* scratch) const;
    index_t scratch_size(index_t blocks, index_t channels) const {
        return blocks * positions() * ops::position_stride<T>(channels * width) + taps_size();
    }

    index_t size() const { return groups_ * group_stride_; }  // of all, transformed
    index_t positions() const { return (transforms.outputs + 2) * (transforms.outputs + 2); }
    Range all_parts() const { return {0, static_cast<index_t>(parts.size())}; }

    std::vector<KernelPart> parts;
    Transforms transforms;
    index_t channels, columns;  // of a group: those summed, and those of results
    int vectors;
    index_t width;  // of a block

  private:
    index_t taps_size() const { return 9 * channels_at_once * width; }
    index_t copy_size() const { return size() + taps_size(); }
    // Of an item: some channels of some blocks that are transformed at once.
    index_t items() const { return groups_ * slices() * pieces(channels, channels_at_once); }
    index_t slices() const { return transposed_ ? pieces(columns, width) : 1; }
    void transform_item(index_t item, T* u, T* taps, bool stream) const;
    const T* data_of(int thread) const;
    void transform(index_t group, Range blocks, Range parts, Range channels, T* u, index_t position_stride,
                   index_t block_stride, T* taps, bool stream) const;
    void take_taps(const KernelPart& part, index_t group, Range columns, Range channels, T* taps) const;

    const T* kernel_;
    index_t kernel_height_, kernel_width_, groups_, out_channels_;
    bool transposed_;
    index_t position_stride_, block_stride_, group_stride_;
    runtime::Buffer<T> data_;
    mutable std::vector<std::uint8_t> is_done_;  // each thread's copy, if there are some: changed by it alone
};

template <class T>
class WinogradProducts {
  public:
    WinogradProducts(const TileGrid& grid, const TiledImages& images, TransformedWeights<T> weights)
        : grid_(grid), images_(images), weights_(std::move(weights)) {}

    const TileGrid& grid() const { return grid_; }
    index_t width() const { return weights_.width; }
    // Of each group, as the columns that follow.
    index_t blocks() const { return (weights_.columns + width() - 1) / width(); }
    Range columns(Range blocks) const {
        return {blocks.begin * width(), std::min(blocks.end * width(), weights_.columns)};
    }

    // Of one part.
    index_t v_size(index_t tiles, index_t channels) const {
        return weights_.positions() * position_stride<T>(tiles * channels);
    }
    index_t m_size(index_t tiles, index_t columns) const {
        return weights_.positions() * position_stride<T>(tiles * columns);
    }

    // v of `tiles`, some parts and some channels of a group, for multiply(): [part][position][tile][channel].
    void transform(Range tiles, index_t group, Range parts, Range channels, const T* x, T* v) const {
        for (index_t i = parts.begin; i < parts.end; ++i, v += v_size(tiles.size(), channels.size())) {
            const KernelPart& part = weights_.parts[static_cast<std::size_t>(i)];
            TiledImages images = images_;
            images.row += part.row;
            images.column += part.column;
            transform_patches(weights_.transforms.input, grid_, images, tiles,
                              shifted(channels, group * weights_.channels), x, v);
        }
    }
    // m[position][tile][column] of some columns from v of the parts and channels of their weights, positions
    // position_stride(tiles * columns) apart; parts and channels but the first go on with the sums there.
    void multiply(index_t tiles, const WeightsView<T>& weights, index_t columns, const T* v, T* m) const;

    const TransformedWeights<T>& weights() const { return weights_; }
    void prepare(int num_threads) { weights_.prepare(num_threads); }
    void prepare_each(int threads) { weights_.prepare_each(threads); }

  private:
    TileGrid grid_;
    TiledImages images_;
    TransformedWeights<T> weights_;
};

}  // namespace fastconv::ops
