// c = act(op(a) op(b) + bias) as its transpose, c^T = op(b)^T op(a)^T, where rows fill the vectors better than
// columns.
#pragma once

#include "ops/right_factor.hpp"

namespace fastconv::ops {

// Whether that is faster. `threads` that are at hand count only without transpose_a, where the sums are those of
// PreparedMatrix, in the same order.
template <class T>
bool turns(const RightFactor<T>& b, index_t rows, bool transpose_a, int threads);

// As matmul, on at most `threads` threads.
template <class T>
void turned_product(const RightFactor<T>& b, index_t rows, const T* a, bool transpose_a, const T* bias,
                    Activation activation, T* c, int threads);

// To sums [columns][stride], of which `rows` of each column are used; `bias` may be null.
template <class T>
void add_bias(index_t columns, index_t rows, index_t stride, const T* bias, Activation activation, T* sums);

}  // namespace fastconv::ops
