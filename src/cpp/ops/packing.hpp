// Kernels (HWIO) brought into the order in which Contraction reads them.
#pragma once

#include <vector>

#include "ops/axis.hpp"
#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

// The number of vectors in a block when `columns` output channels are cut into equal blocks.
template <class T>
int block_vectors(index_t columns);

// A kernel cut into the blocks in which Contraction reads it, each to be packed when it is wanted.
template <class T>
class WeightBlocks {
  public:
    // Taps in kernel order, input channels summed for each output channel.
    static WeightBlocks forward(const Conv2dShape& shape, const T* kernel);
    // Taps in the order of the axes, output channels summed for each input channel.
    static WeightBlocks transposed(const Conv2dShape& shape, const Axis& rows, const Axis& columns, const T* kernel);

    index_t groups() const { return groups_; }
    index_t blocks() const { return pieces(columns_, width()); }  // of a group
    index_t taps() const { return static_cast<index_t>(taps_.size()); }
    index_t tap_size() const { return depth_ * width(); }
    index_t block_size() const { return taps() * tap_size(); }
    // The blocks of a group one after the other, taps and blocks of the given size.
    TapWeights<T> layout(const T* data) const;

    // The kernel itself where it is the only block, in order, else null.
    const T* in_place() const;
    void pack_tap(index_t group, index_t block, index_t tap, T* out) const;
    void pack_block(index_t group, index_t block, T* out) const {
        for (index_t tap = 0; tap < taps(); ++tap) pack_tap(group, block, tap, out + tap * tap_size());
    }

  private:
    WeightBlocks(const Conv2dShape& shape, const T* kernel, bool transposed, index_t tap_columns,
                 std::vector<index_t> taps);
    index_t width() const { return vectors_ * dispatch::active<T>().lanes; }

    const T* kernel_;
    index_t kernel_row_;  // elements, all output channels
    index_t groups_, depth_, columns_;
    bool transposed_;
    int vectors_;
    index_t tap_columns_;
    std::vector<index_t> taps_;  // numbers of kernel taps
};

// The packed weights of all groups, or a view of the kernel itself where its order is already right.
template <class T>
class PackedWeights {
  public:
    PackedWeights(const WeightBlocks<T>& blocks, int num_threads);
    // One channel at a time, in place, for both directions: kernel taps by their index.
    static PackedWeights diagonal(const Conv2dShape& shape, const T* kernel);

    TapWeights<T> of_group(index_t group) const {
        TapWeights<T> weights = layout_;
        weights.data += group * group_stride_;
        return weights;
    }

  private:
    PackedWeights() = default;

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
