// Kernels (HWIO) brought into the order in which Contraction reads them.
#pragma once

#include "ops/axis.hpp"
#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

// The number of vectors in a block when `columns` output channels are cut into equal blocks.
template <class T>
int block_vectors(index_t columns);

// The packed weights of all groups, or a view of the kernel itself where its order is already right.
template <class T>
class PackedWeights {
  public:
    // Taps in kernel order, input channels summed for each output channel.
    static PackedWeights forward(const Conv2dShape& shape, const T* kernel, int num_threads);
    // Taps in the order of the axes, output channels summed for each input channel.
    static PackedWeights transposed(const Conv2dShape& shape, const Axis& rows, const Axis& columns, const T* kernel,
                                    int num_threads);
    // One channel at a time, in place, for both directions: kernel taps by their index.
    static PackedWeights diagonal(const Conv2dShape& shape, const T* kernel);

    TapWeights<T> of_group(index_t group) const {
        TapWeights<T> weights = layout_;
        weights.data += group * group_stride_;
        return weights;
    }

  private:
    runtime::Buffer<T> buffer_;
    TapWeights<T> layout_{};
    index_t group_stride_ = 0;
};

// The forward convolution's weights, and its sums over them, one for each group (depthwise: one for all), for outputs
// with the strides `out`.
template <class T>
PackedWeights<T> conv2d_weights(const Conv2dShape& shape, const T* kernel, int num_threads);
template <class T>
std::vector<Contraction<T>> conv2d_contractions(const Conv2dShape& shape, const PackedWeights<T>& weights,
                                                Strides out);
template <class T>
std::vector<Contraction<T>> conv2d_contractions(const Conv2dShape& shape, const PackedWeights<T>& weights) {
    return conv2d_contractions(shape, weights, dense_strides(shape.out_height, shape.out_width, shape.out_channels));
}

}  // namespace fastconv::ops
