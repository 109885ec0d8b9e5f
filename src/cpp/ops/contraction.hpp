// The driver of every convolution that sums over taps and channels: forward, input gradient, depthwise.
//
//   out[n, t, u, :] = act(bias + sum over taps (i, j) inside the image  in[n, t_i, u_j, :] * W[i, j])
//
// with positions and taps as two Axis say. The outputs fall into rectangles that read the same taps; in each, a
// strip of outputs at a constant distance (along a row, down a column, or the same pixel of several images) is the
// rows of one batch-reduce product. So borders cost nothing, no padded copy is made, and each output is one chain
// of additions in tap order however the work is cut.
#pragma once

#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/axis.hpp"
#include "ops/layout.hpp"

namespace fastconv::ops {

// Where images, rows and pixels of an activation lie, in elements.
struct Strides {
    index_t image, row, pixel;
};

inline Strides dense_strides(index_t height, index_t width, index_t channels) {
    return {height * width * channels, width * channels, channels};
}

// Weights as the kernels read them: [block of output channels][tap row][tap column][input channel][width], zero
// beyond the last channel; or, in the diagonal (depthwise) form, one vector of channels for each tap.
template <class T>
struct TapWeights {
    const T* data;
    index_t block_stride, tap_row_stride, tap_column_stride, depth_stride;
    int block_vectors;
    bool by_kernel_index;  // else taps are stored in the order of the axes
};

template <class T>
class Contraction {
  public:
    // `depth` input channels are summed for each of `columns` output channels; diagonal: depth is 1.
    Contraction(Axis rows, Axis columns_axis, Strides in, Strides out, index_t depth, index_t columns,
                const TapWeights<T>& weights, bool diagonal);

    index_t channels() const { return depth_; }
    index_t blocks() const { return pieces(columns_, width_); }
    index_t row_count() const { return row_axis_.length; }
    index_t width() const { return width_; }  // of a block
    index_t columns() const { return columns_; }
    // Whether run() writes each cache line of a dense, aligned output as a whole and once.
    bool writes_whole_lines() const;

    // Computes rows t in `rows` and the given blocks of output channels of `images` images; `out` is where the row at
    // position `first_row` of the first image lies.
    void run(index_t images, Range rows, Range blocks, const T* in, T* out, index_t first_row, const T* bias,
             Activation activation, bool stream = false) const;
    // The same for all rows and one block, whose weights lie elsewhere.
    void run_block(index_t images, index_t block, const T* weights, const T* in, T* out, const T* bias,
                   Activation activation) const;

  private:
    struct Rectangle {
        Segment rows, columns;
        std::vector<index_t> in_offsets, weight_offsets;
    };

    void run_block(index_t images, Range rows, index_t block, const T* weights, const T* in, T* origin, const T* bias,
                   Activation activation, bool stream) const;
    void run_rectangle(const Rectangle& rectangle, Range rows, index_t images, const T* in, T* out,
                       kernels::BatchReduce<T> op) const;

    const kernels::KernelsOf<T>& kernels_;
    Axis row_axis_, column_axis_;
    Strides in_, out_;
    index_t columns_;
    TapWeights<T> weights_;
    bool diagonal_;
    index_t width_;       // output channels of a block
    index_t depth_;       // input channels of a tap
    index_t pass_depth_;  // input channels of a tap in one pass
    bool touching_;       // the taps of a row are summed as one, depth_ after depth_
    std::vector<Rectangle> rectangles_;
};

// The same for the groups of a convolution, alike but for their weights: their channels lie side by side.
template <class T>
void run_groups(const std::vector<Contraction<T>>& groups, index_t images, Range rows, const T* in, T* out,
                index_t first_row, const T* bias, Activation activation);

// The whole of `batch` images, cut into items for `num_threads` threads; `work` of all groups. With
// Layout::channels_first, `y` is in that layout and `out` are strides of scratch space.
template <class T>
void run_all(const std::vector<Contraction<T>>& groups, index_t batch, Strides in, Strides out, const T* x, T* y,
             const T* bias, Activation activation, double work, int num_threads,
             Layout layout = Layout::channels_last);

}  // namespace fastconv::ops
