// What this machine can do at the active level, to measure kernels against.
#pragma once

#include "common.hpp"

namespace fastconv::ops {

// Multiply-adds a second of `num_threads` threads together, from registers alone: the best of several runs that
// take `seconds` altogether.
template <class T>
double measure_multiply_adds_per_second(double seconds, int num_threads);

}  // namespace fastconv::ops
