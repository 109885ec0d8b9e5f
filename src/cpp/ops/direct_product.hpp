// c = act(op(a) b + bias) with both factors read where they lie.
#pragma once

#include "ops/right_factor.hpp"

namespace fastconv::ops {

// Whether that is faster.
template <class T>
bool reads_directly(const RightFactor<T>& b, index_t rows, bool transpose_a);

// As matmul, on at most `threads` threads; the sums are those of PreparedMatrix, in the same order.
template <class T>
void direct_product(const RightFactor<T>& b, index_t rows, const T* a, bool transpose_a, const T* bias,
                    Activation activation, T* c, int threads);

}  // namespace fastconv::ops
