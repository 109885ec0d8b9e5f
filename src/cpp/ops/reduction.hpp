// Sums over chunks of the work that are fixed by its shape and added in order, whoever computed them.
#pragma once

#include "common.hpp"

namespace fastconv::ops {

// sum[i] = partial[0][i] + partial[1][i] + ..., i < size; the parts lie `stride` apart.
template <class T>
void add_partials(index_t count, index_t size, index_t stride, const T* partial, T* sum, int num_threads);

// The same; whether no sum is infinite or NaN.
template <class T>
bool add_finite_partials(index_t count, index_t size, index_t stride, const T* partial, T* sum, int num_threads);

// Whether none of the values is infinite or NaN.
template <class T>
bool all_finite(index_t size, const T* values, int num_threads);

}  // namespace fastconv::ops
