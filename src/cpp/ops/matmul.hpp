// c = act(op(a) op(b) + bias) on row-major matrices; op(a) is rows x depth, op(b) depth x columns.
#pragma once

#include "common.hpp"

namespace fastconv::ops {

// `a` is stored (rows x depth), or (depth x rows) with transpose_a; likewise `b`. `bias` (columns) may be null.
template <class T>
void matmul(index_t rows, index_t columns, index_t depth, const T* a, bool transpose_a, const T* b, bool transpose_b,
            const T* bias, Activation activation, T* c, int num_threads);

}  // namespace fastconv::ops
