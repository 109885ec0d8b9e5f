// Convolution, bias, activation and max pooling in one pass: the convolution's output never reaches memory.
#pragma once

#include "ops/conv2d.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::ops {

// Where the maxima were, in one of two forms, both dense like y. Either may be null.
struct Maxima {
    std::int64_t* argmax;  // inside one image of the convolution's output
    std::uint8_t* codes;   // 2p + q inside the 2x2 window, + 4 where ReLU cut it off; only if has_codes()
};

// Codes exist for 2x2 windows that tile the output of a convolution with unit stride and dilation and one group.
bool has_codes(const Conv2dShape& conv, const Pool2dShape& pool);

// `pool` describes the pooling of the convolution's output: pool.in_height == conv.out_height and so on.
template <class T>
void conv2d_max_pool2d(const Conv2dShape& conv, const Pool2dShape& pool, const T* x, const T* kernel, const T* bias,
                       Activation activation, T* y, Maxima maxima, int num_threads);

// The gradients of the same; `y` and `argmax` are what the forward pass gave. Any of dx, dkernel, dbias may be
// null. Throws std::invalid_argument if an argmax is outside the image of the convolution's output.
template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& conv, const Pool2dShape& pool, const T* x, const T* kernel,
                                 const T* grad, const std::int64_t* argmax, const T* y, Activation activation, T* dx,
                                 T* dkernel, T* dbias, int num_threads);

// The same from codes, which say by themselves where ReLU was flat. Codes above 7 are read as their lowest bits.
template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& conv, const Pool2dShape& pool, const T* x, const T* kernel,
                                 const T* grad, const std::uint8_t* codes, T* dx, T* dkernel, T* dbias,
                                 int num_threads);

}  // namespace fastconv::ops
