// Steps of optimizers over all parameters at once.
#pragma once

#include "dispatch/kernels.hpp"

namespace fastconv::ops {

template <class T>
void adam_step(const kernels::AdamStep<T>& step, int num_threads);

}  // namespace fastconv::ops
