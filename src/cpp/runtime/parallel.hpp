// The only place that knows OpenMP. Work is cut into items that are dealt out in equal runs; what an item
// computes must not depend on who runs it, so that results have the same bits for every thread count.
#pragma once

#include <algorithm>
#include <utility>

#include "common.hpp"
#include "runtime/settings.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace fastconv::runtime {

// Starting a team costs about as much as this many multiply-adds; a thread gets at least this much work.
inline constexpr double work_per_thread = 4e5;

// libgomp ends the process if it cannot start a thread: a bound far above what is useful.
int most_threads() noexcept;

// True in a child of fork(): the OpenMP threads of the parent do not exist there, so everything runs serially.
bool forked() noexcept;

// The threads to use for `items` items of `work` multiply-adds altogether; `requested` <= 0 means the default.
inline int thread_count(index_t items, double work, int requested) noexcept {
    const int most = std::min(requested > 0 ? requested : default_num_threads(), most_threads());
    if (most <= 1 || items <= 1 || work < 2 * work_per_thread || forked()) return 1;
#ifdef _OPENMP
    if (omp_in_parallel()) return 1;
    const double useful = std::min(static_cast<double>(items), work / work_per_thread);
    return static_cast<int>(std::min(static_cast<double>(most), useful));
#else
    return 1;
#endif
}

// The half-open range of items of thread `index` of `count`.
inline std::pair<index_t, index_t> share(index_t items, int index, int count) noexcept {
    const index_t each = items / count, rest = items % count;
    const index_t begin = index * each + std::min<index_t>(index, rest);
    return {begin, begin + each + (index < rest ? 1 : 0)};
}

// body(item, thread) for every item, thread < threads; body must not throw.
template <class Body>
void parallel_for(index_t items, int threads, const Body& body) noexcept {
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
            // The team may be smaller than asked for.
            const int team = omp_get_num_threads(), thread = omp_get_thread_num();
            const auto [begin, end] = share(items, thread, team);
            for (index_t item = begin; item < end; ++item) body(item, thread);
        }
        return;
    }
#endif
    for (index_t item = 0; item < items; ++item) body(item, 0);
}

}  // namespace fastconv::runtime
