// What this machine can do at the active level, to measure kernels against.
#pragma once

#include "common.hpp"

namespace fastconv::ops {

// Multiply-adds a second of `num_threads` threads together, from registers alone: the best of several runs that
// take `seconds` altogether.
template <class T>
double measure_multiply_adds_per_second(double seconds, int num_threads);

// Seconds in which `num_threads` threads read x and write y, once, each thread a part of both: the median of runs
// that take `seconds` altogether (at least one run), with stores through or past the caches, whichever takes less.
double measure_seconds_of_memory(index_t reads, const float* x, index_t writes, float* y, double seconds,
                                 int num_threads);

// Computes the widest tile of batch_reduce `count` times, of factors that stay in the first-level cache; returns how
// many multiply-adds that took, by their result.
template <class T>
double multiply_tiles(index_t count);

}  // namespace fastconv::ops
