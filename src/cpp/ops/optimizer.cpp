#include "ops/optimizer.hpp"

#include <algorithm>

#include "ops/cut.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {

template <class T>
void adam_step(const kernels::AdamStep<T>& step, int num_threads) {
    constexpr index_t piece = 16384;
    constexpr double cost = 16;  // multiply-adds that take as long as one parameter
    const index_t items = pieces(step.size, piece);
    const int threads = runtime::thread_count(items, cost * static_cast<double>(step.size), num_threads);
    runtime::parallel_for(items, threads, [&](index_t item, int) {
        const index_t first = item * piece;
        kernels::AdamStep<T> part = step;
        part.size = std::min(piece, step.size - first);
        part.gradients += first;
        part.momentum += first;
        part.velocity += first;
        part.parameters += first;
        if (part.largest_velocity) part.largest_velocity += first;
        dispatch::active<T>().adam_step(part);
    });
}

template void adam_step(const kernels::AdamStep<float>&, int);
template void adam_step(const kernels::AdamStep<double>&, int);

}  // namespace fastconv::ops
