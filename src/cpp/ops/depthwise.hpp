// Depthwise convolution and its gradients for 3x3 taps and the like, by a kernel of their own.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/axis.hpp"
#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

// Channels as vectors of `lanes`, of which the kernel reads and writes whole ones.
struct Vectors {
    index_t channels, lanes, shift;

    index_t count() const { return pieces(channels + shift, lanes); }
    index_t begin(index_t vector) const { return std::clamp<index_t>(vector * lanes - shift, 0, channels - lanes); }
};

// The forward convolution, or the input gradient as stride x stride convolutions, one for each residue of an input's
// position. Each output is one chain of additions in tap order however the work is cut.
template <class T>
class DepthwiseConv2d {
  public:
    // Nothing where the kernel does not know the taps. Vectors are as aligned as `aligned`, x or y, allows.
    static std::optional<DepthwiseConv2d> forward(const Conv2dShape& shape, const T* kernel, const T* aligned);
    static std::optional<DepthwiseConv2d> input_gradient(const Conv2dShape& shape, const T* kernel, const T* aligned);

    // Rows of the output; of the gradient, `stride` rows of dx count as one.
    index_t row_count() const { return row_count_; }

    // These rows of one image; y is where the image begins.
    void run(Range rows, const T* x, const T* bias, Activation activation, T* y) const;
    void run_all(index_t batch, const T* x, const T* bias, Activation activation, T* y, int num_threads) const;

  private:
    struct Part {  // of all rows of an image
        kernels::DepthwiseConv<T> op;
        index_t y_offset;
        runtime::Buffer<T> weights;
    };

    DepthwiseConv2d(const Conv2dShape& shape, const T* aligned, index_t in_size, index_t out_height,
                    index_t out_width, index_t stride);
    // False if the kernel does not know the taps.
    bool add(const Axis& rows, const Axis& columns, const Conv2dShape& shape, const T* kernel);

    Vectors vectors_;
    std::vector<Part> parts_;
    index_t row_count_, in_size_, out_size_, out_row_;  // of an image
    double work_;                                       // of an image
};

// Whether it was done: not where the kernel does not know the taps.
template <class T>
bool depthwise_kernel_gradient(const Conv2dShape& shape, const T* x, const T* grad, T* dkernel, int num_threads);

}  // namespace fastconv::ops
