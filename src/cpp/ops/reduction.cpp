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

// body(first, length) for pieces of `size` values, each of which is read or written `times` times.
template <class Body>
void for_pieces(index_t size, index_t times, int num_threads, const Body& body) {
    const index_t items = pieces(size, piece);
    const double work = runtime::work_of_memory * static_cast<double>(times * size);
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item * piece;
        body(first, std::min(piece, size - first));
    });
}

template <class T>
void add_piece(index_t count, index_t length, index_t stride, const T* partial, T* sum) {
    std::memcpy(sum, partial, static_cast<std::size_t>(length) * sizeof(T));
    for (index_t i = 1; i < count; ++i) dispatch::active<T>().add(length, partial + i * stride, sum);
}

template <class T>
bool finite_piece(index_t length, const T* values) {
    return dispatch::active<T>().largest_magnitude(length, values) <= std::numeric_limits<T>::max();
}

}  // namespace

template <class T>
void add_partials(index_t count, index_t size, index_t stride, const T* partial, T* sum, int num_threads) {
    for_pieces(size, count, num_threads, [&](index_t first, index_t length) {
        add_piece(count, length, stride, partial + first, sum + first);
    });
}

template <class T>
bool add_finite_partials(index_t count, index_t size, index_t stride, const T* partial, T* sum, int num_threads) {
    std::atomic<bool> finite{true};
    for_pieces(size, count, num_threads, [&](index_t first, index_t length) {
        add_piece(count, length, stride, partial + first, sum + first);
        if (!finite_piece(length, sum + first)) finite = false;
    });
    return finite;
}

template <class T>
bool all_finite(index_t size, const T* values, int num_threads) {
    std::atomic<bool> finite{true};
    for_pieces(size, 1, num_threads, [&](index_t first, index_t length) {
        if (!finite_piece(length, values + first)) finite = false;
    });
    return finite;
}

template void add_partials(index_t, index_t, index_t, const float*, float*, int);
template void add_partials(index_t, index_t, index_t, const double*, double*, int);
template bool add_finite_partials(index_t, index_t, index_t, const float*, float*, int);
template bool add_finite_partials(index_t, index_t, index_t, const double*, double*, int);
template bool all_finite(index_t, const float*, int);
template bool all_finite(index_t, const double*, int);

}  // namespace fastconv::ops
