// Convolution and its input gradient by Winograd, where that is faster than the direct sum.
#pragma once

#include <algorithm>
#include <optional>

#include "ops/winograd.hpp"

namespace fastconv::ops {

template <class T>
class WinogradConv2d {
  public:
    // Nothing where winograd_outputs() and winograd_few_pays() say no.
    static std::optional<WinogradConv2d> forward(const Conv2dShape& shape, const T* kernel);
    static std::optional<WinogradConv2d> input_gradient(const Conv2dShape& shape, const T* kernel);

    // Rows of tiles of an image, and of results in each.
    index_t tile_rows() const { return products_.grid().rows; }
    index_t rows_of_tile() const { return products_.grid().outputs; }
    index_t scratch_size() const;

    // The whole of `batch` images, but false, with y void, if a sum is not finite.
    bool run_all(index_t batch, const T* x, const T* bias, Activation activation, T* y, int num_threads);
    // The same with y in NCHW; false also unless few() input channels go from images to results at once.
    bool run_turned(index_t batch, const T* x, const T* bias, Activation activation, T* y, int num_threads);

    // Before run(): transforms the weights, once.
    void prepare(int num_threads) { products_.prepare(num_threads); }
    // Rows of tiles, counted through all images; `direct` computes those where a sum is not finite, so that NaN
    // reaches exactly its receptive field and nothing overflows that would not otherwise.
    void run(Range rows, const std::vector<Contraction<T>>& direct, const T* x, const T* bias, Activation activation,
             T* y, T* scratch) const;

  private:
    WinogradConv2d(const TileGrid& grid, const TiledImages& in, const TiledImages& out, index_t groups, bool few,
                   TransformedWeights<T> weights);
    // run_all() where the products of all tiles for a slice of columns fit the cache.
    bool run_by_slice(index_t tiles, const T* x, const T* bias, Activation activation, T* y, int threads) const;
    bool run_tiles(Range tiles, Range slices, const T* x, const T* bias, Activation activation, T* y, T* scratch,
                   int thread, bool stream = false) const;
    // The results of a slice from its products.
    bool write_slice(Range tiles, index_t slice, const T* m, const T* bias, Activation activation, T* y) const;
    bool run_few(Range tiles, const T* x, const T* bias, Activation activation, T* y, int thread, bool stream) const;
    index_t slices_of_group() const { return pieces(products_.blocks(), slice_blocks_); }
    index_t slices() const { return groups_ * slices_of_group(); }
    index_t group(index_t slice) const { return slice / slices_of_group(); }
    index_t slice_products_size(index_t tiles) const {
        return products_.m_size(tiles, slice_blocks_ * products_.width());
    }
    index_t columns_of(index_t slice) const { return products_.columns(blocks(slice)).size(); }
    Range blocks(index_t slice) const {
        const index_t first = slice % slices_of_group() * slice_blocks_;
        return {first, std::min(first + slice_blocks_, products_.blocks())};
    }

    TiledImages in_, out_;
    WinogradProducts<T> products_;
    index_t groups_;
    bool few_;              // input channels: from images to results at once
    index_t slice_blocks_;  // blocks of columns whose products exist at a time, a slice
    index_t tiles_at_once_;
};

}  // namespace fastconv::ops
