#include "ops/reduction.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "dispatch/kernels.hpp"
#include "ops/cut.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {

namespace {

constexpr index_t piece = 4096;

}  // namespace

template <class T>
void add_partials(index_t count, index_t size, index_t stride, const T* partial, T* sum, int num_threads) {
    const index_t items = pieces(size, piece);
    const double work = runtime::work_of_memory * static_cast<double>(count * size);
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item * piece, length = std::min(piece, size - first);
        std::memcpy(sum + first, partial + first, static_cast<std::size_t>(length) * sizeof(T));
        for (index_t i = 1; i < count; ++i)
            dispatch::active<T>().add(length, partial + i * stride + first, sum + first);
    });
}

template <class T>
bool all_finite(index_t size, const T* values, int num_threads) {
    const index_t items = pieces(size, piece);
    const double work = runtime::work_of_memory * static_cast<double>(size);
    std::atomic<bool> finite{true};
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item * piece;
        if (!(dispatch::active<T>().largest_magnitude(std::min(piece, size - first), values + first) <=
              std::numeric_limits<T>::max()))
            finite = false;
    });
    return finite;
}

template void add_partials(index_t, index_t, index_t, const float*, float*, int);
template void add_partials(index_t, index_t, index_t, const double*, double*, int);
template bool all_finite(index_t, const float*, int);
template bool all_finite(index_t, const double*, int);

}  // namespace fastconv::ops
