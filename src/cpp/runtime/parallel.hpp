// Work is cut into items; what an item computes must not depend on who runs it, so that results have the same bits
// for every thread count.
#pragma once

#include <algorithm>
#include <utility>

#include "common.hpp"
#include "runtime/settings.hpp"
#include "runtime/team.hpp"

namespace fastconv::runtime {

// Having others begin costs about as much as this many multiply-adds; a thread gets at least this much work.
inline constexpr double work_per_thread = 4e5;

// The same for workers that are awake, as behind another operation. us, 2 threads, from 4e5 -> from 1e5 on: ReLU of
// 60,000 values 6.7 -> 4.2; max pooling of 32x32x64 7.4 -> 5.7; convolution 16x16x16 -> 32 18.4 -> 14.8; matrix
// products of 32x256x64 11.2 -> 6.9 and 1x64x1024 (transposed) 8.0 -> 5.1; from 5e4 on no more is gained.
inline constexpr double work_per_awake_thread = 1e5;

// An element that is read or written once, by itself, takes as long as this many multiply-adds of a convolution.
inline constexpr double work_of_memory = 6;

// The threads to use for `items` items of `work` multiply-adds altogether; `requested` <= 0 means the default.
inline int thread_count(index_t items, double work, int requested) noexcept {
    const int most = std::min(requested > 0 ? requested : default_num_threads(), most_threads());
    if (most <= 1 || items <= 1 || work < 2 * work_per_awake_thread || forked() || in_team()) return 1;
    const double awake = std::min(work / work_per_awake_thread, 1.0 + awake_workers());
    const double useful = std::max(1.0, std::max(awake, work / work_per_thread));
    return static_cast<int>(std::min({static_cast<double>(most), static_cast<double>(items), useful}));
}

// The half-open range of items of thread `index` of `count`. The first threads, who begin first, have one more where
// not all can have as many; what is cut into more parts than threads is better cut by ops/cut.hpp.
inline std::pair<index_t, index_t> share(index_t items, int index, int count) noexcept {
    const index_t each = items / count, rest = items % count;
    const index_t begin = index * each + std::min<index_t>(index, rest);
    return {begin, begin + each + (index < rest ? 1 : 0)};
}

// body(item, thread) for every item, thread < threads and different for all that run at the same time; body must not
// throw.
template <class Body>
void parallel_for(index_t items, int threads, const Body& body) noexcept {
    const RunItems run = [](const void* context, index_t begin, index_t end, int thread) noexcept {
        for (index_t item = begin; item < end; ++item) (*static_cast<const Body*>(context))(item, thread);
    };
    if (threads > 1)
        run_on_team(items, threads, &body, run);
    else
        run(&body, 0, items, 0);
}

}  // namespace fastconv::runtime
