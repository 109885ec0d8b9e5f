// The kernel gradient by Winograd F(2x2, 3x3), where that is faster than the direct sum.
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

// False, with dkernel void, where winograd_outputs() says no or a sum is not finite.
template <class T>
bool winograd_kernel_gradient(const Conv2dShape& shape, const T* x, const T* grad, T* dkernel, int num_threads);

}  // namespace fastconv::ops
