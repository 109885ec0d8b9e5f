// The kernel gradient of many channels, packed block by block; not depthwise, batch > 0.
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

template <class T>
void blocked_kernel_gradient(const Conv2dShape& shape, const T* x, const T* grad, T* dkernel, int num_threads);

}  // namespace fastconv::ops
