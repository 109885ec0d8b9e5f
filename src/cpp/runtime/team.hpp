// Threads of our own, for parallel_for alone.
//
// OpenMP ends a region with a barrier for threads that have not even begun; on a machine with other work they may get
// a core milliseconds later, which made a training step four times slower than on one thread. Here the caller waits
// for nobody who has not begun: it does the work of those who come late. Nor does a process end when a thread cannot
// be started, and the OpenMP of the host stays alone.
#pragma once

#include "common.hpp"

namespace fastconv::runtime {

// Runs items [begin, end) of a body as participant `thread`.
using RunItems = void (*)(const void* body, index_t begin, index_t end, int thread) noexcept;

// Deals `items` out to the caller, participant 0, and up to `threads` - 1 others; returns when all are done. The
// participants begin with equal runs of items, the same at every call, so that what they wrote before may still be
// in their cache, and then help the others.
void run_on_team(index_t items, int threads, const void* body, RunItems run) noexcept;

// How many workers run or wait without sleeping, so that they begin at once.
int awake_workers() noexcept;

// Whether this thread is working for run_on_team.
bool in_team() noexcept;

}  // namespace fastconv::runtime
