#include "ops/elementwise.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <string>

#include "dispatch/kernels.hpp"
#include "ops/cut.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t piece = 16384;  // elements of an item; a multiple of a Philox counter's words and a byte's bits

// body(first, count) over pieces of `size` elements that cost `cost` multiply-adds each.
template <class Body>
void for_pieces(index_t size, double cost, int num_threads, const Body& body) {
    const index_t items = pieces(size, piece);
    const int threads = runtime::thread_count(items, static_cast<double>(size) * cost, num_threads);
    runtime::parallel_for(items, threads,
                          [&](index_t item, int) { body(item * piece, std::min(piece, size - item * piece)); });
}

// body(first_row, rows) over blocks of rows; an exponential costs about 16 multiply-adds.
template <class Body>
void for_rows(index_t rows, index_t classes, int num_threads, const Body& body) {
    if (rows == 0 || classes == 0) return;
    const index_t block = std::max<index_t>(1, 512 / classes), items = pieces(rows, block);
    const double work = static_cast<double>(rows) * static_cast<double>(classes) * 16;
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads),
                          [&](index_t item, int) { body(item * block, std::min(block, rows - item * block)); });
}

}  // namespace

template <class T>
void relu(index_t size, const T* x, T* y, int num_threads) {
    for_pieces(size, runtime::work_of_memory, num_threads,
               [&](index_t i, index_t n) { dispatch::active<T>().relu(n, x + i, y + i); });
}

template <class T>
void relu_gradient(index_t size, const T* grad, const T* y, T* dx, int num_threads) {
    for_pieces(size, runtime::work_of_memory, num_threads,
               [&](index_t i, index_t n) { dispatch::active<T>().relu_gradient(n, grad + i, y + i, dx + i); });
}

template <class T>
void softmax(index_t rows, index_t classes, const T* x, T* y, int num_threads) {
    const runtime::Buffer<T> largest(static_cast<std::size_t>(rows)), log_sums(static_cast<std::size_t>(rows));
    for_rows(rows, classes, num_threads, [&](index_t r, index_t n) {
        dispatch::active<T>().softmax(n, classes, x + r * classes, y + r * classes, largest.data() + r,
                                      log_sums.data() + r);
    });
}

template <class T>
void log_softmax(index_t rows, index_t classes, const T* x, T* y, int num_threads) {
    const runtime::Buffer<T> largest(static_cast<std::size_t>(rows)), log_sums(static_cast<std::size_t>(rows));
    for_rows(rows, classes, num_threads, [&](index_t r, index_t n) {
        dispatch::active<T>().softmax(n, classes, x + r * classes, nullptr, largest.data() + r, log_sums.data() + r);
        for (index_t i = r; i < r + n; ++i)
            for (index_t c = i * classes; c < (i + 1) * classes; ++c)
                y[c] = (x[c] - largest.data()[i]) - log_sums.data()[i];
    });
}

template <class T>
void softmax_cross_entropy(index_t rows, index_t classes, const T* logits, const std::int64_t* labels, T* loss,
                           T* grad, int num_threads) {
    const runtime::Buffer<T> largest(static_cast<std::size_t>(rows));
    std::atomic<bool> outside{rows > 0 && classes == 0};
    for_rows(rows, classes, num_threads, [&](index_t r, index_t n) {
        dispatch::active<T>().softmax(n, classes, logits + r * classes, grad + r * classes, largest.data() + r,
                                      loss + r);
        for (index_t i = r; i < r + n; ++i) {
            const index_t label = labels[i];
            if (label < 0 || label >= classes) {
                outside = true;
                return;
            }
            loss[i] -= logits[i * classes + label] - largest.data()[i];
            grad[i * classes + label] -= T(1);
        }
    });
    if (outside)
        throw std::invalid_argument("labels must be class numbers, expected integers in [0, " +
                                    std::to_string(classes) + ")");
}

template <class T>
void softmax_cross_entropy(index_t rows, index_t classes, const T* logits, const T* probabilities, T* loss, T* grad,
                           int num_threads) {
    const runtime::Buffer<T> largest(static_cast<std::size_t>(rows));
    std::fill_n(loss, rows, T(0));
    for_rows(rows, classes, num_threads, [&](index_t r, index_t n) {
        dispatch::active<T>().softmax(n, classes, logits + r * classes, grad + r * classes, largest.data() + r,
                                      loss + r);
        for (index_t i = r; i < r + n; ++i) {
            const T* x = logits + i * classes;
            const T* p = probabilities + i * classes;
            T* g = grad + i * classes;
            T sum = 0, total = 0;
            for (index_t c = 0; c < classes; ++c) {
                // A class without probability adds nothing, even where its logit is -inf.
                if (p[c] != 0) sum += p[c] * (loss[i] - (x[c] - largest.data()[i]));
                total += p[c];
            }
            for (index_t c = 0; c < classes; ++c) g[c] = g[c] * total - p[c];
            loss[i] = sum;
        }
    });
}

template <class T>
void dropout(index_t size, const T* x, double rate, std::uint64_t seed, std::uint64_t offset, T* y,
             std::uint8_t* kept, int num_threads) {
    const auto threshold = static_cast<std::uint32_t>(std::floor(rate * 4294967296.0));
    const T scale = static_cast<T>(1 / (1 - rate));
    for_pieces(size, 8, num_threads, [&](index_t i, index_t n) {
        dispatch::active<T>().dropout(n, x + i, scale, threshold, seed, offset + static_cast<std::uint64_t>(i / 4),
                                      y + i, kept ? kept + i / 8 : nullptr);
    });
}

template <class T>
void dropout_gradient(index_t size, const T* grad, double rate, const std::uint8_t* kept, T* dx, int num_threads) {
    const T scale = static_cast<T>(1 / (1 - rate));
    for_pieces(size, runtime::work_of_memory, num_threads, [&](index_t i, index_t n) {
        dispatch::active<T>().scale_kept(n, grad + i, scale, kept + i / 8, dx + i);
    });
}

template <class T>
void transpose_planes(index_t batch, index_t rows, index_t columns, const T* in, T* out, int num_threads) {
    if (batch == 0 || rows == 0 || columns == 0) return;
    // Blocks of columns make whole rows of the output.
    const index_t slice = std::clamp<index_t>(piece / rows / 16 * 16, 16, columns > 16 ? columns : 16);
    const index_t slices = pieces(columns, slice), items = batch * slices;
    const double work = runtime::work_of_memory * static_cast<double>(batch * rows * columns);
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item % slices * slice, offset = item / slices * rows * columns;
        dispatch::active<T>().transpose(rows, std::min(slice, columns - first), in + offset + first, columns,
                                        out + offset + first * rows, rows);
    });
}

#define FASTCONV_INSTANTIATE(T)                                                                             \
    template void relu(index_t, const T*, T*, int);                                                         \
    template void relu_gradient(index_t, const T*, const T*, T*, int);                                      \
    template void softmax(index_t, index_t, const T*, T*, int);                                             \
    template void log_softmax(index_t, index_t, const T*, T*, int);                                         \
    template void softmax_cross_entropy(index_t, index_t, const T*, const std::int64_t*, T*, T*, int);      \
    template void softmax_cross_entropy(index_t, index_t, const T*, const T*, T*, T*, int);                 \
    template void dropout(index_t, const T*, double, std::uint64_t, std::uint64_t, T*, std::uint8_t*, int); \
    template void dropout_gradient(index_t, const T*, double, const std::uint8_t*, T*, int);                \
    template void transpose_planes(index_t, index_t, index_t, const T*, T*, int)
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
