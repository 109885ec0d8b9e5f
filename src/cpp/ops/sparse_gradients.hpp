// Gradients of a convolution fused with 2x2 max pooling, from the codes of the maxima: only what carries gradient is
// visited. Exactly the dense rule's values, in another order of additions.
#pragma once

#include "ops/conv2d_pool2d.hpp"

namespace fastconv::ops {

// Whether `sparse_gradients` serves the shape.
template <class T>
bool has_sparse_gradients(const Conv2dShape& conv, const Pool2dShape& pool);

// And whether it computes dx.
template <class T>
bool has_sparse_input_gradient(const Conv2dShape& conv, const Pool2dShape& pool);

// Any of the three may be null; dx must be unless has_sparse_input_gradient().
template <class T>
void sparse_gradients(const Conv2dShape& conv, const Pool2dShape& pool, const T* x, const T* kernel, const T* grad,
                      const std::uint8_t* codes, T* dx, T* dkernel, T* dbias, int num_threads);

}  // namespace fastconv::ops
