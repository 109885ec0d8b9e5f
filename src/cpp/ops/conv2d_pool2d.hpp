// Convolution, bias, activation and max pooling in one pass: the convolution's output never reaches memory.
#pragma once

#include "ops/conv2d.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::ops {

// `pool` describes the pooling of the convolution's output: pool.in_height == conv.out_height and so on.
// `argmax` (may be null) counts inside one image of the convolution's output.
template <class T>
void conv2d_max_pool2d(const Conv2dShape& conv, const Pool2dShape& pool, const T* x, const T* kernel, const T* bias,
                       Activation activation, T* y, std::int64_t* argmax, int num_threads);

// The gradients of the same; `y` and `argmax` are what the forward pass gave. Any of dx, dkernel, dbias may be
// null. Throws std::invalid_argument if an argmax is outside the image of the convolution's output.
template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& conv, const Pool2dShape& pool, const T* x, const T* kernel,
                                 const T* grad, const std::int64_t* argmax, const T* y, Activation activation, T* dx,
                                 T* dkernel, T* dbias, int num_threads);

}  // namespace fastconv::ops
