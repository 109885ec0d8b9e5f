// The kernel gradient by Winograd's products for parts of the kernel, where that is faster than the direct sum.
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

// False, with dkernel void, where it is not, or if it does not come out finite.
template <class T>
bool winograd_parts_kernel_gradient(const Conv2dShape& shape, const T* x, const T* grad, T* dkernel, int num_threads);

}  // namespace fastconv::ops
