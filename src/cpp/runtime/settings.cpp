#include "runtime/settings.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

namespace fastconv::runtime {
namespace {

std::atomic<Precision> current_precision{Precision::standard};
std::atomic<int> current_num_threads{0};  // 0: not chosen yet
std::atomic<bool> is_forked_child{false};

[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] { is_forked_child = true; });

int processors() noexcept {
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
#endif
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

int first_num_threads() noexcept {
    // What users of numeric libraries set; for nested regions it may be a list, of which the first counts.
    const char* wish = std::getenv("OMP_NUM_THREADS");
    const long count = wish ? std::strtol(wish, nullptr, 10) : 0;
    return count > 0 ? static_cast<int>(std::min<long>(count, most_threads())) : processors();
}

}  // namespace

Precision precision() noexcept { return current_precision.load(std::memory_order_relaxed); }
void set_precision(Precision precision) noexcept { current_precision.store(precision, std::memory_order_relaxed); }

int default_num_threads() noexcept {
    const int chosen = current_num_threads.load(std::memory_order_relaxed);
    if (chosen > 0) return chosen;
    static const int first = first_num_threads();
    return first;
}

void set_default_num_threads(int count) noexcept {
    current_num_threads.store(count > 0 ? count : 0, std::memory_order_relaxed);
}

int most_threads() noexcept {
    static const int count = static_cast<int>(std::max(16u, 4 * std::thread::hardware_concurrency()));
    return count;
}

bool forked() noexcept { return is_forked_child.load(std::memory_order_relaxed); }

}  // namespace fastconv::runtime
