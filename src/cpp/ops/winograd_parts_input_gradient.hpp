// The input gradient by Winograd's products for parts of the kernel, where that is faster than one product for each
// tap (ops/tapwise_gradient.hpp).
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

// False, with dx void, where it is not, or if it does not come out finite. NHWC.
template <class T>
bool winograd_parts_input_gradient(const Conv2dShape& shape, const T* grad, const T* kernel, const T* bias,
                                   Activation activation, T* dx, int num_threads);

}  // namespace fastconv::ops
