// 1x1 convolutions of NCHW images: a product of matrices for each image, with no change of order.
//
//   y[n][m][q] = activation(bias[m] + sum over d of A[m][d] * x[n][d][q])
//
// q runs through the pixels, m and d through the channels on both sides; A is the kernel transposed, for the input
// gradient the kernel itself. Vectors lie along the pixels.
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

// Whether a 1x1 convolution without padding fills its vectors with pixels well enough.
template <class T>
bool planar_pointwise_pays(const Conv2dShape& shape);

// As conv2d, NCHW. The input gradient asks for unit strides.
template <class T>
void planar_pointwise(const Conv2dShape& shape, const T* x, const T* kernel, const T* bias, Activation activation,
                      T* y, int num_threads);
template <class T>
void planar_pointwise_input_gradient(const Conv2dShape& shape, const T* grad, const T* kernel, const T* bias,
                                     Activation activation, T* dx, int num_threads);

}  // namespace fastconv::ops
