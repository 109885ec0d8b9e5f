// Convolution and its input gradient by Winograd F(2x2, 3x3), where that is faster than the direct sum.
#pragma once

#include <optional>

#include "ops/winograd.hpp"

namespace fastconv::ops {

template <class T>
class WinogradConv2d {
  public:
    // Nothing unless winograd_pays().
    static std::optional<WinogradConv2d> forward(const Conv2dShape& shape, const T* kernel, int num_threads);
    static std::optional<WinogradConv2d> input_gradient(const Conv2dShape& shape, const T* kernel, int num_threads);

    // Rows of tiles of an image.
    index_t tile_rows() const { return products_.grid().rows; }
    index_t scratch_size() const;

    // Rows of tiles, counted through all images; `direct` computes those where a sum is not finite, so that NaN
    // reaches exactly its receptive field and nothing overflows that would not otherwise.
    void run(Range rows, const std::vector<Contraction<T>>& direct, const T* x, const T* bias, Activation activation,
             T* y, T* scratch) const;
    // The whole of `batch` images, but false, with y void, if a sum is not finite.
    bool run_all(index_t batch, const T* x, const T* bias, Activation activation, T* y, int num_threads) const;
    // The same with y in NCHW; false also unless few() input channels go from images to results at once.
    bool run_turned(index_t batch, const T* x, const T* bias, Activation activation, T* y, int num_threads) const;

  private:
    WinogradConv2d(const TileGrid& grid, const TiledImages& in, const TiledImages& out, index_t groups, bool few,
                   TransformedWeights<T> weights);
    bool run_tiles(Range tiles, Range slices, const T* x, const T* bias, Activation activation, T* y, T* scratch,
                   bool stream = false) const;
    bool run_few(Range tiles, const T* x, const T* bias, Activation activation, T* y, bool stream) const;
    index_t slices_of_group() const { return pieces(products_.blocks(), slice_blocks_); }
    index_t slices() const { return groups_ * slices_of_group(); }

    TiledImages in_, out_;
    WinogradProducts<T> products_;
    index_t groups_;
    bool few_;              // input channels: from images to results at once
    index_t slice_blocks_;  // blocks of columns whose products exist at a time, a slice
    index_t tiles_at_once_;
};

}  // namespace fastconv::ops
