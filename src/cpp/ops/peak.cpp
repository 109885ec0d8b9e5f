#include "ops/peak.hpp"

#include <algorithm>
#include <chrono>

#include "dispatch/kernels.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {

template <class T>
double measure_multiply_adds_per_second(double seconds, int num_threads) {
    using Clock = std::chrono::steady_clock;
    constexpr index_t steps = 200'000;  // about a millisecond
    const auto& kernels = dispatch::active<T>();
    const int threads = runtime::thread_count(1 << 20, 1e18, num_threads);
    const runtime::Buffer<T> results(static_cast<std::size_t>(threads) * 64);
    double best = 0;
    const auto begin = Clock::now();
    do {
        const auto start = Clock::now();
        runtime::parallel_for(threads, threads, [&](index_t item, int) {
            results.data()[item * 64] = kernels.multiply_add_chains(steps);
        });
        const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        best = std::max(best, threads * static_cast<double>(steps) * kernels.multiply_adds_per_step / elapsed);
    } while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds);
    return best;
}

template double measure_multiply_adds_per_second<float>(double, int);
template double measure_multiply_adds_per_second<double>(double, int);

}  // namespace fastconv::ops
