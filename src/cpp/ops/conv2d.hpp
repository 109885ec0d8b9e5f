// 2-D convolution and its gradients on HWIO kernels and activations in NHWC or, where a function takes a layout,
// NCHW.
//
//   y[n,p,q,k]  = act(bias[k] + sum_{r,s,c} x[n, p*stride_h + r*dilation_h - pad_top, q*..., g*C+c] * w[r,s,c,k])
//
// with C = in_channels / groups and g the group of k. Positions outside the image contribute nothing.
// Every function takes a shape made by conv2d_shape() and dense, non-overlapping arrays of exactly the
// sizes it implies; `num_threads` <= 0 means the default. The bits of a result do not depend on it.
#pragma once

#include "common.hpp"
#include "ops/layout.hpp"

namespace fastconv::ops {

struct Conv2dGeometry {  // what a caller chooses beside the arrays
    index_t stride_height = 1, stride_width = 1;
    index_t dilation_height = 1, dilation_width = 1;
    index_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
    index_t groups = 1;
};

struct Conv2dShape : Conv2dGeometry {
    index_t batch, in_height, in_width, in_channels;
    index_t kernel_height, kernel_width, out_channels;
    index_t out_height, out_width;

    bool is_depthwise() const { return groups > 1 && in_channels == groups && out_channels == groups; }
    index_t group_in_channels() const { return in_channels / groups; }
    index_t group_out_channels() const { return out_channels / groups; }
    index_t input_size() const { return batch * in_height * in_width * in_channels; }
    index_t kernel_size() const { return kernel_height * kernel_width * group_in_channels() * out_channels; }
    index_t output_size() const { return batch * out_height * out_width * out_channels; }
    // Multiplications of the dense rule; saturates instead of overflowing.
    double multiplications() const;
};

// Derives the output size and checks everything memory safety rests on: positive strides, dilations,
// kernel sizes and groups, non-negative sizes and padding, channels divisible by groups, an output of at
// least 1x1, no overflow of any element count. Throws std::invalid_argument naming the rule.
Conv2dShape conv2d_shape(const Conv2dGeometry& geometry, index_t batch, index_t in_height, index_t in_width,
                         index_t in_channels, index_t kernel_height, index_t kernel_width, index_t out_channels);

// `bias` may be null.
template <class T>
void conv2d(const Conv2dShape& shape, const T* x, const T* kernel, const T* bias, Activation activation, T* y,
            int num_threads, Layout layout = Layout::channels_last);

// dx[n,h,w,c] = sum over the outputs that read x[n,h,w,c]; with `bias` (in_channels entries, may be null) and
// `activation` it is also the forward pass of the transposed convolution.
template <class T>
void conv2d_input_gradient(const Conv2dShape& shape, const T* grad, const T* kernel, const T* bias,
                           Activation activation, T* dx, int num_threads, Layout layout = Layout::channels_last);

template <class T>
void conv2d_kernel_gradient(const Conv2dShape& shape, const T* x, const T* grad, T* dkernel, int num_threads);
template <class T>
void conv2d_kernel_gradient(const Conv2dShape& shape, const T* x, const T* grad, T* dkernel, int num_threads,
                            Layout layout);

// dbias[k] = sum over rows of grad, a (rows x channels) matrix.
template <class T>
void bias_gradient(index_t rows, index_t channels, const T* grad, T* dbias, int num_threads);

}  // namespace fastconv::ops
