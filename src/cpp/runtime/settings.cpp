#include "runtime/settings.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

#include "runtime/parallel.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace fastconv::runtime {
namespace {

std::atomic<Precision> current_precision{Precision::standard};
std::atomic<int> current_num_threads{0};  // 0: not chosen yet
std::atomic<bool> is_forked_child{false};

#if defined(__unix__) || defined(__APPLE__)
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] { is_forked_child = true; });
#endif

}  // namespace

Precision precision() noexcept { return current_precision.load(std::memory_order_relaxed); }
void set_precision(Precision precision) noexcept { current_precision.store(precision, std::memory_order_relaxed); }

int default_num_threads() noexcept {
    const int chosen = current_num_threads.load(std::memory_order_relaxed);
    if (chosen > 0) return chosen;
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

void set_default_num_threads(int count) noexcept {
    current_num_threads.store(count > 0 ? count : 0, std::memory_order_relaxed);
}

int most_threads() noexcept {
    static const int count = static_cast<int>(std::max(16u, 4 * std::thread::hardware_concurrency()));
    return count;
}

bool forked() noexcept { return is_forked_child.load(std::memory_order_relaxed); }

const char* openmp_description() noexcept {
#if !defined(_OPENMP)
    return "none (serial build)";
#elif defined(__clang__)
    return "libomp";
#else
    return "libgomp";
#endif
}

}  // namespace fastconv::runtime
