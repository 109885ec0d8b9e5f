// Gradients of a convolution fused with 2x2 max pooling, from the codes of the maxima: only what carries gradient is
// visited. Exactly the dense rule's values, in another order of additions.
#pragma once

#include "ops/conv2d_pool2d.hpp"

namespace fastconv::ops {

// Whether the functions below serve the shape.
template <class T>
bool has_sparse_kernel_gradient(const Conv2dShape& conv, const Pool2dShape& pool);
template <class T>
bool has_sparse_input_gradient(const Conv2dShape& conv, const Pool2dShape& pool);

// `dkernel` or `dbias` may be null.
template <class T>
void sparse_kernel_gradient(const Conv2dShape& conv, const Pool2dShape& pool, const T* x, const T* grad,
                            const std::uint8_t* codes, T* dkernel, T* dbias, int num_threads);

template <class T>
void sparse_input_gradient(const Conv2dShape& conv, const Pool2dShape& pool, const T* kernel, const T* grad,
                           const std::uint8_t* codes, T* dx, int num_threads);

}  // namespace fastconv::ops
