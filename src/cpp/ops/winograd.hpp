// The 16 matrix products of a convolution by Winograd F(2x2, 3x3), tile after tile (formulas: kernels/table.hpp).
//
// Tiles of 2x2 outputs are counted through all rows of all images. A block of them is transformed, multiplied by the
// transformed weights position by position, and read by whoever transforms back: its buffers stay in the cache.
#pragma once

#include <algorithm>

#include "dispatch/kernels.hpp"
#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

struct TileGrid {
    index_t rows, columns;  // of an image

    // The tiles of outputs of this size, the last ones partly outside.
    static TileGrid of(index_t height, index_t width) { return {(height + 1) / 2, (width + 1) / 2}; }

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

// Between the 16 positions of transformed tiles: one cache line more, so that they do not share its sets.
template <class T>
index_t position_stride(index_t elements) {
    constexpr index_t line = 64 / static_cast<index_t>(sizeof(T));
    return (elements + 2 * line - 1) / (2 * line) * (2 * line) + line;
}

// Scratch for all threads, on huge pages: 16 positions are more streams than small pages are translated for at once.
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

// Some channels of the tiles' patches, transformed by one of the kernels winograd_input and winograd_gradient, to
// v[position][tile][channel], positions position_stride(tiles * channels) apart.
template <class T>
void transform_patches(void (*kernel)(const kernels::WinogradInput<T>&), const TileGrid& grid,
                       const TiledImages& images, Range tiles, Range channels, const T* x, T* v);

// The weights as the products read them: [group][block of columns][position][channel][width].
template <class T>
struct TransformedWeights {
    // `vectors` of columns in a block.
    static TransformedWeights forward(const Conv2dShape& shape, const T* kernel, int vectors, int num_threads);
    // For the input gradient: output channels are summed for each input channel.
    static TransformedWeights transposed(const Conv2dShape& shape, const T* kernel, int vectors, int num_threads);

    const T* of_group(index_t group) const { return data.data() + group * group_stride; }

    index_t channels, columns;  // of a group
    int vectors;
    index_t width, position_stride, block_stride, group_stride;
    runtime::Buffer<T> data;

  private:
    TransformedWeights(index_t channels, index_t columns, index_t groups, int vectors);
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

    index_t v_size(index_t tiles) const { return 16 * position_stride<T>(tiles * weights_.channels); }
    index_t m_size(index_t tiles, index_t columns) const { return 16 * position_stride<T>(tiles * columns); }

    // v of `tiles` and the channels of a group, for multiply().
    void transform(Range tiles, index_t group, const T* x, T* v) const {
        const index_t first = group * weights_.channels;
        transform_patches(dispatch::active<T>().winograd_input, grid_, images_, tiles,
                          {first, first + weights_.channels}, x, v);
    }
    // m[position][tile][column] of some blocks of columns, positions position_stride(tiles * columns) apart.
    void multiply(index_t tiles, index_t group, Range blocks, const T* v, T* m) const;

    const TransformedWeights<T>& weights() const { return weights_; }

  private:
    TileGrid grid_;
    TiledImages images_;
    TransformedWeights<T> weights_;
};

}  // namespace fastconv::ops
