#include "ops/reduction.hpp"

#include <algorithm>
#include <cstring>

#include "dispatch/kernels.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {

template <class T>
void add_partials(index_t count, index_t size, index_t stride, const T* partial, T* sum, int num_threads) {
    constexpr index_t piece = 4096;
    const index_t items = (size + piece - 1) / piece;
    const double work = runtime::work_of_memory * static_cast<double>(count * size);
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item * piece, length = std::min(piece, size - first);
        std::memcpy(sum + first, partial + first, static_cast<std::size_t>(length) * sizeof(T));
        for (index_t i = 1; i < count; ++i)
            dispatch::active<T>().add(length, partial + i * stride + first, sum + first);
    });
}

template void add_partials(index_t, index_t, index_t, const float*, float*, int);
template void add_partials(index_t, index_t, index_t, const double*, double*, int);

}  // namespace fastconv::ops
