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
    void run(Range rows, const Contraction<T>& direct, const T* x, const T* bias, Activation activation, T* y,
             T* scratch) const;
    // The whole of `batch` images, but false, with y void, if a sum is not finite.
    bool run_all(index_t batch, const T* x, const T* bias, Activation activation, T* y, int num_threads) const;

  private:
    WinogradConv2d(const TileGrid& grid, const TiledImages& in, const TiledImages& out,
                   TransformedWeights<T> weights);
    bool run_tiles(Range tiles, Range groups, const T* x, const T* bias, Activation activation, T* y,
                   T* scratch) const;
    index_t groups() const { return (products_.blocks() + group_blocks_ - 1) / group_blocks_; }

    TiledImages in_, out_;
    WinogradProducts<T> products_;
    index_t group_blocks_;  // blocks of columns whose products exist at a time
    index_t tiles_at_once_;
};

}  // namespace fastconv::ops
