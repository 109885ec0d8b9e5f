// c = act(op(a) op(b) + bias) on row-major matrices; op(a) is rows x depth, op(b) depth x columns.
#pragma once

#include "common.hpp"
#include "ops/contraction.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

// `a` is stored (rows x depth), or (depth x rows) with transpose_a; likewise `b`. `bias` (columns) may be null.
template <class T>
void matmul(index_t rows, index_t columns, index_t depth, const T* a, bool transpose_a, const T* b, bool transpose_b,
            const T* bias, Activation activation, T* c, int num_threads);

// A right factor in the order in which the kernels read it, or in place where that does as well.
template <class T>
class PreparedMatrix {
  public:
    // `keep_in_place`: rather read `b` (which must stay alive then) slowly than copy it.
    PreparedMatrix(index_t columns, index_t depth, const T* b, bool transposed, bool keep_in_place, int num_threads);

    index_t blocks() const { return blocks_; }  // of columns
    index_t width() const { return width_; }    // of a block
    index_t tallest_tile() const;
    // Rows of `a` whose share of a pass stays in the second-level cache.
    index_t rows_at_once() const;

    // Some blocks of columns of c = act(a b + bias), on one thread; a is (rows x depth), c (rows x columns), dense.
    void multiply(index_t rows, Range blocks, const T* a, const T* bias, Activation activation, T* c) const;

  private:
    index_t columns_, depth_;
    int block_vectors_;
    index_t width_, blocks_;  // columns of a block, number of blocks
    index_t pass_;            // depth of a pass: a block's share of b stays in the second-level cache
    const T* b_;
    index_t block_stride_, depth_stride_;
    runtime::Buffer<T> copy_;
};

}  // namespace fastconv::ops
