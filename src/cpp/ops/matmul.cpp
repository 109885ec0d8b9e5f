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
PreparedMatrix<T>::PreparedMatrix(index_t columns, index_t depth, const T* b, bool transposed, bool keep_in_place,
                                  int num_threads)
    : columns_(columns),
      depth_(depth),
      block_vectors_(block_vectors<T>(columns)),
      width_(block_vectors_ * dispatch::active<T>().lanes),
      blocks_(pieces(columns, width_)),
      b_(b),
      block_stride_(width_),
      depth_stride_(columns) {
    const index_t row_bytes = width_ * static_cast<index_t>(sizeof(T));
    const index_t passes = pieces(std::max<index_t>(1, depth), std::max<index_t>(1, block_bytes / row_bytes));
    pass_ = std::max<index_t>(1, pieces(depth, passes));
    // In place the last vector of a row must not reach beyond the end.
    const bool readable = !transposed && columns % dispatch::active<T>().lanes == 0;
    if (readable && (columns == width_ || keep_in_place)) return;
    copy_ = packed(columns, depth, width_, b, transposed, num_threads);
    b_ = copy_.data();
    block_stride_ = depth * width_;
    depth_stride_ = width_;
}

template <class T>
index_t PreparedMatrix<T>::tallest_tile() const {
    return dispatch::active<T>().tile_rows[block_vectors_ - 1];
}

template <class T>
index_t PreparedMatrix<T>::rows_at_once() const {
    const index_t tile_bytes = pass_ * tallest_tile() * static_cast<index_t>(sizeof(T));
    return std::max<index_t>(1, item_bytes / tile_bytes) * tallest_tile();
}

template <class T>
void PreparedMatrix<T>::multiply(index_t rows, Range blocks, const T* a, const T* bias, Activation activation,
                                 T* c) const {
    static constexpr index_t no_offset[1] = {0};
    kernels::BatchReduce<T> op{};
    op.a_row_stride = depth_;
    op.a_depth_stride = 1;
    op.a_offsets = op.b_offsets = no_offset;
    op.b_block_stride = block_stride_;
    op.b_depth_stride = depth_stride_;
    op.block_vectors = block_vectors_;
    op.count = 1;
    op.c_row_stride = columns_;
    op.rows = rows;
    for (index_t first = 0; first == 0 || first < depth_; first += pass_) {
        const bool last = first + pass_ >= depth_;
        op.depth = std::min(pass_, depth_ - first);
        op.accumulate = first > 0;
        op.activation = last ? activation : Activation::linear;
        op.a = a + first;
        for (index_t block = blocks.begin; block < blocks.end; ++block) {
            const index_t column = block * width_;
            op.columns = std::min(width_, columns_ - column);
            op.b = b_ + block * block_stride_ + first * depth_stride_;
            op.c = c + column;
            op.bias = last && bias ? bias + column : nullptr;
            dispatch::active<T>().batch_reduce(op);
        }
    }
}

template <class T>
void matmul(index_t rows, index_t columns, index_t depth, const T* a, bool transpose_a, const T* b, bool transpose_b,
            const T* bias, Activation activation, T* c, int num_threads) {
    if (rows == 0 || columns == 0) return;
    // The other way round, c^T = b^T a, where that fills the vectors better; `a` then serves as it lies.
    const bool narrow = columns < few_rows && rows >= 4 * columns && rows % dispatch::active<T>().lanes == 0;
    if (transpose_a && !transpose_b && !bias && activation == Activation::linear && narrow) {
        const auto b_transposed = transpose(depth, columns, b, num_threads);
        const runtime::Buffer<T> c_transposed(static_cast<std::size_t>(rows * columns));
        matmul(columns, rows, depth, b_transposed.data(), false, a, false, bias, activation, c_transposed.data(),
               num_threads);
        dispatch::active<T>().transpose(columns, rows, c_transposed.data(), rows, c, columns);
        return;
    }
    runtime::Buffer<T> a_copy;
    if (transpose_a && rows > 1 && depth > 1) {
        a_copy = transpose(depth, rows, a, num_threads);
        a = a_copy.data();
    }
    const PreparedMatrix<T> matrix(columns, depth, b, transpose_b, rows < few_rows, num_threads);

    const index_t blocks = matrix.blocks(), tallest = matrix.tallest_tile();
    const double work = static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth);
    const int threads = runtime::thread_count(pieces(rows, tallest) * blocks, work, num_threads);
    const index_t wanted = threads > 1 ? 4 * threads : 1;
    const index_t even = pieces(pieces(rows, std::clamp<index_t>(wanted / blocks, 1, rows)), tallest) * tallest;
    const index_t row_piece = std::min(matrix.rows_at_once(), even), row_items = pieces(rows, row_piece);
    const index_t block_items = std::min(blocks, pieces(wanted, row_items));
    runtime::parallel_for(row_items * block_items, threads, [&](index_t item, int) {
        const index_t row = item / block_items * row_piece;
        const auto [first_block, last_block] =
            runtime::share(blocks, static_cast<int>(item % block_items), static_cast<int>(block_items));
        matrix.multiply(std::min(row_piece, rows - row), {first_block, last_block}, a + row * depth, bias, activation,
                        c + row * columns);
    });
}

template class PreparedMatrix<float>;
template class PreparedMatrix<double>;
template void matmul(index_t, index_t, index_t, const float*, bool, const float*, bool, const float*, Activation,
                     float*, int);
template void matmul(index_t, index_t, index_t, const double*, bool, const double*, bool, const double*, Activation,
                     double*, int);

}  // namespace fastconv::ops
