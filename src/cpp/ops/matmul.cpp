// Row tiles of `a` against blocks of columns of `b`, or the other way round where that fills the vectors better.
#include "ops/matmul.hpp"

#include <algorithm>

#include "dispatch/kernels.hpp"
#include "ops/blocked_kernel_gradient.hpp"
#include "ops/direct_product.hpp"
#include "ops/right_factor.hpp"
#include "ops/streaming.hpp"
#include "ops/turned_product.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t untransposed_rows = 2;                // more repay a transpose of a narrow b
constexpr index_t packed_depth = 24;                    // less does not repay packing both sides
constexpr index_t turned_rows = 384;                    // of c: with as many of both it is cheaper to transpose a
constexpr index_t turned_columns = 768;                 // than to pack its parts (AVX2, 128 rows: 1.1 to 1.7x slower)
constexpr index_t repacked_bytes = index_t{512} << 10;  // of b may be packed by each thread for itself
constexpr index_t very_many_rows = 256;                 // of a thread, beside which packing b is nothing
// Up to this depth c is most of what is moved: a thread had better have rows of its own than share each row's lines,
// if they are many for it. Time by columns over that by rows, float32, AVX-512 on Zen 4, 2 threads, c beside a line
// and on one:
//   b transposed     128 x 10 x 1600   1.17, 1.11     forward   64 x 16 x 1000   0.90, 0.88
//   (rows x depth    128 x 16 x 1600   1.08, 1.07              200 x 20 x 1000   1.06, 1.02
//   x columns)       128 x 32 x 1600   1.04, 1.06              400 x  8 x 3000   1.06, 1.13
//                    256 x 10 x 1600   1.22, 1.17
//                     32 x 10 x 1600   0.97, 0.99
constexpr index_t shallow_depth = 32;
constexpr index_t many_rows = 64;                       // of a thread
constexpr index_t repeated_bytes = index_t{512} << 10;  // of b may be turned twice, for twice the rows of a
constexpr index_t item_elements = index_t{16} << 10;    // of a matrix that each of them is used in one product

double work_of(index_t rows, index_t columns, index_t depth) {
    const auto m = static_cast<double>(rows), n = static_cast<double>(columns), k = static_cast<double>(depth);
    return m * n * k + runtime::work_of_memory * (m * k + k * n + m * n);
}

template <class T>
runtime::Buffer<T> transpose(index_t rows, index_t columns, const T* in, int num_threads) {
    runtime::Buffer<T> buffer(static_cast<std::size_t>(rows * columns));
    constexpr index_t slice = 64;
    const index_t items = pieces(columns, slice);
    const double work = runtime::work_of_memory * static_cast<double>(rows * columns);
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item * slice;
        dispatch::active<T>().transpose(rows, std::min(slice, columns - first), in + first, columns,
                                        buffer.data() + first * rows, rows);
    });
    return buffer;
}

// Vectors lie the same way transposed or not.
template <class T>
void outer_product(index_t rows, index_t columns, const T* a, const T* b, T* c, int num_threads) {
    const auto& kernels = dispatch::active<T>();
    const bool stream = streams(c, rows * columns * static_cast<index_t>(sizeof(T)));
    const double work = work_of(rows, columns, 1);
    const Cut items(rows, item_elements / columns, kernels.lanes);
    runtime::parallel_for(items.count, runtime::thread_count(items.count, work, num_threads), [&](index_t item, int) {
        const Range some = items[item];
        kernels.outer_product(some.size(), columns, a + some.begin, b, c + some.begin * columns, stream);
    });
}

// Few rows of `a` against the rows of b as they lie; as many again as the kernel takes, from the second-level cache.
template <class T>
void transposed_product(const RightFactor<T>& factor, index_t rows, const T* a, const T* bias, Activation activation,
                        T* c, int num_threads) {
    const index_t columns = factor.columns, depth = factor.depth;
    const Cut items(columns, item_elements / depth, dispatch::active<T>().lanes);
    const int threads = runtime::thread_count(items.count, work_of(rows, columns, depth), num_threads);
    runtime::parallel_for(items.count, threads, [&](index_t item, int) {
        const Range some = items[item];
        for (index_t row = 0; row < rows; row += kernels::transposed_product_rows) {
            const index_t count = std::min<index_t>(kernels::transposed_product_rows, rows - row);
            dispatch::active<T>().transposed_product(
                {a + row * depth, depth, factor.b + some.begin * depth, count, some.size(), depth, factor.pass,
                 bias ? bias + some.begin : nullptr, activation, c + row * columns + some.begin, columns,
                 factor.beyond_caches()});
        }
    });
}

// From memory, to turn b again in the second-level cache takes less than to pack it, if vectors are cache lines: ms,
// 8 rows, 1 and 2 threads: 4096x25088 58.6 -> 53.2, 35.1 -> 29.7; 1000x4096 1.6 -> 1.0, 0.61 -> 0.52; 4096x4096 as
// before, but with AVX2 7.8 -> 10.6, 4.1 -> 6.5.
template <class T>
index_t most_transposed_rows(const RightFactor<T>& factor) {
    const index_t vector = dispatch::active<T>().lanes * static_cast<index_t>(sizeof(T));
    const bool again = vector == stream_line && factor.beyond_caches() && factor.depth * vector <= repeated_bytes;
    return (again ? 2 : 1) * kernels::transposed_product_rows;
}

}  // namespace

template <class T>
void matmul(index_t rows, index_t columns, index_t depth, const T* a, bool transpose_a, const T* b, bool transpose_b,
            const T* bias, Activation activation, T* c, int num_threads) {
    if (rows == 0 || columns == 0) return;
    const bool plain = !transpose_b && !bias && activation == Activation::linear;
    if (depth == 1 && !bias && activation == Activation::linear)
        return outer_product(rows, columns, a, b, c, num_threads);
    const RightFactor<T> factor(columns, depth, b, transpose_b);
    const double work = work_of(rows, columns, depth);
    const int at_hand = runtime::thread_count(rows, work, num_threads);
    if (reads_directly(factor, rows, transpose_a))
        return direct_product(factor, rows, a, transpose_a, bias, activation, c, at_hand);
    if (turns(factor, rows, transpose_a, at_hand))
        return turned_product(factor, rows, a, transpose_a, bias, activation, c, at_hand);
    // The same as the kernel gradient of a 1x1 convolution over `depth` pixels. It packs parts of both sides, those
    // of a once for 256 columns.
    const bool repays_turning = rows >= turned_rows && columns >= turned_columns;
    if (transpose_a && plain && rows > 1 && depth >= packed_depth && !repays_turning) {
        const Conv2dShape shape = conv2d_shape(Conv2dGeometry{}, 1, 1, depth, rows, 1, 1, columns);
        return blocked_kernel_gradient(shape, a, b, c, num_threads);
    }
    runtime::Buffer<T> a_copy;
    if (transpose_a && rows > 1 && depth > 1) {
        a_copy = transpose(depth, rows, a, num_threads);
        a = a_copy.data();
    }
    if (factor.narrow && !transpose_b && rows <= untransposed_rows) {
        dispatch::active<T>().inner_products_in_place(
            {a, depth, b, columns, rows, columns, depth, bias, activation, c, columns});
        return;
    }
    if (transpose_b && !factor.narrow && rows <= most_transposed_rows(factor) &&
        depth >= kernels::transposed_product_depth)
        return transposed_product(factor, rows, a, bias, activation, c, num_threads);

    const index_t blocks = factor.blocks;
    const int threads = runtime::thread_count(pieces(rows, factor.tallest_tile) * blocks, work, num_threads);
    const index_t wanted = threads > 1 ? 4 * threads : 1;
    if (rows <= threads * (factor.narrow ? very_many_rows : factor.rows_at_once())) {
        // By blocks of b if they can be dealt out evenly; else, and if there are very many rows or hardly any depth,
        // by rows, if b is so small that each thread may pack it.
        const bool even = blocks >= wanted || (blocks % threads == 0 && columns % factor.width == 0);
        const bool small = factor.packed_size(blocks, depth) * static_cast<index_t>(sizeof(T)) <= repacked_bytes;
        const index_t least = !even ? factor.tallest_tile : depth > shallow_depth ? very_many_rows : many_rows;
        const bool by_rows = small && rows >= threads * least;
        if (by_rows || even || rows < threads * factor.tallest_tile) {
            const StreamedMatrix<T> matrix(factor, rows, threads);
            const int items = by_rows ? threads : static_cast<int>(matrix.items(threads, wanted));
            runtime::parallel_for(items, threads, [&](index_t item, int thread) {
                const auto [first, last] = runtime::share(by_rows ? rows : blocks, static_cast<int>(item), items);
                const Range some_rows = by_rows ? Range{first, last} : Range{0, rows};
                const Range some_blocks = by_rows ? Range{0, blocks} : Range{first, last};
                matrix.multiply(some_rows, some_blocks, a, bias, activation, c, thread);
            });
            return;
        }
    }
    const PreparedMatrix<T> matrix(factor, false, num_threads);
    // Pieces of rows as equal as can be, and as many items for each thread.
    const index_t most = std::min(factor.rows_at_once(), pieces(rows, std::clamp<index_t>(wanted / blocks, 1, rows)));
    const index_t row_pieces = pieces(rows, most), block_items = std::min(blocks, pieces(wanted, row_pieces));
    const bool shared = row_pieces * block_items % threads == 0;
    const Cut row_items(rows, shared ? most : pieces(rows, pieces(row_pieces, threads) * threads),
                        factor.tallest_tile);
    const bool stream = streams_rows(c, rows, columns);
    runtime::parallel_for(row_items.count * block_items, threads, [&](index_t item, int) {
        const Range some = row_items[item / block_items];
        const auto [first_block, last_block] =
            runtime::share(blocks, static_cast<int>(item % block_items), static_cast<int>(block_items));
        matrix.multiply(some.size(), {first_block, last_block}, a + some.begin * depth, bias, activation,
                        c + some.begin * columns, stream);
    });
}

template void matmul(index_t, index_t, index_t, const float*, bool, const float*, bool, const float*, Activation,
                     float*, int);
template void matmul(index_t, index_t, index_t, const double*, bool, const double*, bool, const double*, Activation,
                     double*, int);

}  // namespace fastconv::ops
