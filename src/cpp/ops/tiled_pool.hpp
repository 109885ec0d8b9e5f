// Fused convolution and pooling where 2x2 windows tile the output: the kernels pool in registers and give codes.
#pragma once

#include <algorithm>
#include <optional>

#include "ops/contraction.hpp"
#include "ops/conv2d_pool2d.hpp"
#include "ops/winograd.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

template <class T>
class TiledPool {
  public:
    // Nothing where no kernel serves the shape. `bias` may be null.
    static std::optional<TiledPool> make(const Conv2dShape& conv, const Pool2dShape& pool, const T* kernel,
                                         const T* bias, int num_threads);

    // Before run(): for any thread, or for these alone.
    void prepare(int num_threads) {
        if (winograd_) winograd_->prepare(num_threads);
    }
    void prepare_each(int threads) {
        if (winograd_) winograd_->prepare_each(threads);
    }

    index_t rows_at_once() const;
    // Whole images that are computed better together than apart.
    index_t images_at_once() const;
    // For windows of so many rows.
    index_t buffer_size(index_t rows) const;

    // Blocks of output channels that can be computed apart.
    index_t blocks() const { return blocks_; }
    Range columns(Range blocks) const {
        return {blocks.begin * width_, std::min(blocks.end * width_, conv_.out_channels)};
    }

    Range windows(Range rows) const { return {rows.begin * grid_.columns, rows.end * grid_.columns}; }

    // As BandedPool::run, some windows, counted row after row through one image or through several whole ones, and
    // some blocks of it, with codes unless they are null. False, with nothing written, if a sum in the rows of the
    // windows might not be finite: NaN needs the other.
    bool run(Range windows, Range blocks, const T* x, Activation activation, T* y, std::uint8_t* codes, T* buffer,
             int thread) const;

  private:
    Range rows(Range windows) const { return {windows.begin / grid_.columns, pieces(windows.end, grid_.columns)}; }

    TiledPool(bool winograd, const Conv2dShape& conv, const Pool2dShape& pool, const T* kernel, const T* bias,
              int num_threads);
    void run_direct(Range windows, Range columns, const T* x, Activation activation, T* y, std::uint8_t* codes,
                    T* buffer) const;
    void run_winograd(Range windows, Range blocks, const T* x, Activation activation, T* y, std::uint8_t* codes,
                      T* buffer, int thread) const;

    // Winograd's as well, from the image to the maxima at once.
    void run_few(Range windows, Range blocks, const T* x, Activation activation, T* y, std::uint8_t* codes,
                 int thread) const;

    Conv2dShape conv_;
    TileGrid grid_;  // of windows
    index_t padded_width_;
    bool padded_;        // copied with its padding
    bool in_registers_;  // Winograd's transform back
    bool few_;           // input channels: both of Winograd's transforms
    const T* kernel_;
    T safe_magnitude_;         // of the input: no sum overflows
    int block_vectors_;        // of a block of output channels
    index_t width_, blocks_;   // channels of a block, number of blocks
    runtime::Buffer<T> bias_;  // zeros for none
    std::optional<WinogradProducts<T>> winograd_;
};

}  // namespace fastconv::ops
