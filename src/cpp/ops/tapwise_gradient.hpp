// The input gradient of a convolution with few input channels, one product for each tap and channel:
//
//   z[(r,s,c)][p,q] = sum over k of W[r,s,c,k] * grad[n,p,q,k]
//   dx[n,h,w,c]     = activation(bias[c] + sum over r,s of z[(r,s,c)][p,q]),  (p,q) the output that reads (h,w) by
//   (r,s)
//
// Vectors lie along the output pixels, so that no lane is idle however few channels there are; the price is the
// second sum and, for NHWC, a transposition of grad.
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

// Whether this costs less than the convolution with the transposed kernel, whose vectors lie along in_channels.
template <class T>
bool tapwise_gradient_pays(const Conv2dShape& shape);

// As conv2d_input_gradient, for one group.
template <class T>
void tapwise_input_gradient(const Conv2dShape& shape, const T* grad, const T* kernel, const T* bias,
                            Activation activation, T* dx, int num_threads, Layout layout);

}  // namespace fastconv::ops
