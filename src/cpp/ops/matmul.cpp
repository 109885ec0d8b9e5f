// Row tiles of `a` against packed blocks of columns of `b`; the depth is cut into passes whose share of a block of
// `b` stays in the second-level cache, rows into items whose share of `a` does.
#include "ops/matmul.hpp"

#include <algorithm>
#include <cstring>

#include "dispatch/kernels.hpp"
#include "ops/packing.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t block_bytes = index_t{128} << 10;  // of b in one pass
constexpr index_t item_bytes = index_t{256} << 10;   // of a in one pass
constexpr index_t few_rows = 32;                     // too few to repay a copy of b

index_t pieces(index_t length, index_t piece) { return (length + piece - 1) / piece; }

// b as [block][depth][width], zero beyond the last column.
template <class T>
runtime::Buffer<T> packed(index_t columns, index_t depth, index_t width, const T* b, bool transposed,
                          int num_threads) {
    const index_t blocks = pieces(columns, width);
    runtime::Buffer<T> buffer(static_cast<std::size_t>(blocks * depth * width));
    constexpr index_t slice = 256;
    const index_t slices = pieces(depth, slice), items = blocks * slices;
    const double work = static_cast<double>(columns * depth) / 4;
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t block = item / slices, first = item % slices * slice, count = std::min(slice, depth - first);
        const index_t used = std::min(width, columns - block * width);
        T* out = buffer.data() + (block * depth + first) * width;
        if (transposed) {
            dispatch::active<T>().transpose(used, count, b + block * width * depth + first, depth, out, width);
        } else {
            for (index_t k = 0; k < count; ++k)
                std::memcpy(out + k * width, b + (first + k) * columns + block * width,
                            static_cast<std::size_t>(used) * sizeof(T));
        }
        for (index_t k = 0; k < count; ++k) std::fill(out + k * width + used, out + (k + 1) * width, T(0));
    });
    return buffer;
}

template <class T>
runtime::Buffer<T> transpose(index_t rows, index_t columns, const T* in, int num_threads) {
    runtime::Buffer<T> buffer(static_cast<std::size_t>(rows * columns));
    constexpr index_t slice = 64;
    const index_t items = pieces(columns, slice);
    const double work = static_cast<double>(rows * columns) / 4;
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t first = item * slice;
        dispatch::active<T>().transpose(rows, std::min(slice, columns - first), in + first, columns,
                                        buffer.data() + first * rows, rows);
    });
    return buffer;
}

}  // namespace

template <class T>
void matmul(index_t rows, index_t columns, index_t depth, const T* a, bool transpose_a, const T* b, bool transpose_b,
            const T* bias, Activation activation, T* c, int num_threads) {
    if (rows == 0 || columns == 0) return;
    const auto& kernels = dispatch::active<T>();
    kernels::BatchReduce<T> common{};
    common.block_vectors = block_vectors<T>(columns);
    const index_t width = common.block_vectors * kernels.lanes, blocks = pieces(columns, width);

    runtime::Buffer<T> a_copy, b_copy;
    if (transpose_a && rows > 1 && depth > 1) {
        a_copy = transpose(depth, rows, a, num_threads);
        a = a_copy.data();
    }
    common.b_depth_stride = columns;
    common.b_block_stride = width;
    const bool in_place = !transpose_b && columns % kernels.lanes == 0 && (columns == width || rows < few_rows);
    if (!in_place) {
        b_copy = packed(columns, depth, width, b, transpose_b, num_threads);
        b = b_copy.data();
        common.b_depth_stride = width;
        common.b_block_stride = depth * width;
    }

    const index_t element = sizeof(T);
    const index_t pass =
        std::max<index_t>(1, pieces(depth, pieces(std::max<index_t>(1, depth), block_bytes / (width * element))));
    const index_t tallest = kernels.tile_rows[common.block_vectors - 1];
    const index_t fitting = std::max<index_t>(1, item_bytes / (pass * element * tallest)) * tallest;
    const double work = static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth);
    const int threads = runtime::thread_count(pieces(rows, tallest) * blocks, work, num_threads);
    const index_t wanted = threads > 1 ? 4 * threads : 1;
    const index_t even = pieces(pieces(rows, std::clamp<index_t>(wanted / blocks, 1, rows)), tallest) * tallest;
    const index_t row_piece = std::min(fitting, even), row_items = pieces(rows, row_piece);
    const index_t block_items = std::min(blocks, pieces(wanted, row_items));

    static constexpr index_t no_offset[1] = {0};
    runtime::parallel_for(row_items * block_items, threads, [&](index_t item, int) {
        const index_t row = item / block_items * row_piece;
        const auto [first_block, last_block] =
            runtime::share(blocks, static_cast<int>(item % block_items), static_cast<int>(block_items));
        kernels::BatchReduce<T> op = common;
        op.a_row_stride = depth;
        op.a_depth_stride = 1;
        op.a_offsets = op.b_offsets = no_offset;
        op.count = 1;
        op.c_row_stride = columns;
        op.rows = std::min(row_piece, rows - row);
        for (index_t first = 0; first == 0 || first < depth; first += pass) {
            const bool last = first + pass >= depth;
            op.depth = std::min(pass, depth - first);
            op.accumulate = first > 0;
            op.activation = last ? activation : Activation::linear;
            op.a = a + row * depth + first;
            for (index_t block = first_block; block < last_block; ++block) {
                const index_t column = block * width;
                op.columns = std::min(width, columns - column);
                op.b = b + block * common.b_block_stride + first * common.b_depth_stride;
                op.c = c + row * columns + column;
                op.bias = last && bias ? bias + column : nullptr;
                kernels.batch_reduce(op);
            }
        }
    });
}

template void matmul(index_t, index_t, index_t, const float*, bool, const float*, bool, const float*, Activation,
                     float*, int);
template void matmul(index_t, index_t, index_t, const double*, bool, const double*, bool, const double*, Activation,
                     double*, int);

}  // namespace fastconv::ops
