// Convolution of few channels with kernels larger than 3x3, of any stride, by Winograd's products for parts of the
// kernel (kernels/winograd_parts.hpp), where that is faster than the direct sum.
#pragma once

#include <optional>

#include "ops/parts.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

template <class T>
class WinogradParts {
  public:
    // Nothing unless they pay.
    static std::optional<WinogradParts> forward(const Conv2dShape& shape, const T* kernel);

    // Rows of tiles of an image.
    index_t tile_rows() const { return input_.tile_rows(); }
    index_t scratch_size() const { return input_.buffer_size() + input_.v_size(); }

    // Before run(): transforms the weights, once.
    void prepare() { weights_.prepare(); }
    // Rows of tiles, counted through all images; `direct` computes those where a sum is not finite, so that NaN
    // reaches exactly its receptive field and nothing overflows that would not otherwise.
    void run(Range rows, const std::vector<Contraction<T>>& direct, const T* x, const T* bias, Activation activation,
             T* y, T* scratch) const;
    // The whole batch, but false, with y void, if a sum is not finite.
    bool run_all(const T* x, const T* bias, Activation activation, T* y, int num_threads);

  private:
    WinogradParts(const Conv2dShape& shape, const T* kernel);
    // Some runs of at most most_rows rows of an image: a bit for each row that is not finite.
    std::uint32_t run_rows(index_t image, Range runs, Range rows, bool follows, const T* x, const T* bias,
                           Activation activation, T* y, T* scratch, int thread, bool stream) const;

    Conv2dShape s_;
    PartsInput<T> input_;
    PartsWeights<T> weights_;
};

}  // namespace fastconv::ops
