// The right factor b of a product, and how its columns and its depth are cut.
#pragma once

#include "common.hpp"
#include "ops/contraction.hpp"
#include "ops/cut.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

// (depth x columns), row-major, or stored as its transpose; with it the order of each sum, which so depends on b's
// size alone and neither on the number of rows of a nor on threads.
template <class T>
struct RightFactor {
    RightFactor(index_t columns, index_t depth, const T* b, bool transposed);

    index_t columns, depth;
    const T* b;
    bool transposed;
    // Few columns: the lanes of a vector go along the depth (inner_products) rather than along the columns.
    bool narrow;
    int block_vectors;
    index_t width, blocks;  // columns of a block, number of blocks
    index_t pass;           // depth of a pass: a block's share of b stays in the second-level cache
    index_t tallest_tile;   // rows of c

    // Rows of `a` whose share of a pass stays in the second-level cache.
    index_t rows_at_once() const;
    bool lies_ready() const;                    // as `pack` would bring it
    bool beyond_caches() const;                 // asking for it early pays, where it is used once
    bool is_read_in_place(index_t rows) const;  // by StreamedMatrix, for `rows` of a
    // Some rows of some blocks as [block][rows.size()][width], zero beyond the last column; narrow: the transpose.
    void pack(Range blocks, Range rows, T* out) const;
    index_t packed_size(index_t block_count, index_t row_count) const { return block_count * row_count * width; }
};

// The product for `rows` rows, one tile of them after the other: c is then written along its rows.
template <class T>
void multiply_by_tiles(kernels::BatchReduce<T> op, index_t rows, index_t tallest);

// All of b in the order in which the kernels read it, for many rows and for repeated use.
template <class T>
class PreparedMatrix {
  public:
    // `keep_in_place`: rather read b slowly than copy it. Where b is not copied it must stay alive.
    PreparedMatrix(const RightFactor<T>& factor, bool keep_in_place, int num_threads);

    index_t width() const { return factor_.width; }
    // Some blocks of columns of c = act(a b + bias), on one thread; a is (rows x depth), c (rows x columns), dense.
    // `stream`: c, whose rows are whole lines of the cache, goes past the caches unless a sum takes several passes.
    void multiply(index_t rows, Range blocks, const T* a, const T* bias, Activation activation, T* c,
                  bool stream = false) const;

  private:
    RightFactor<T> factor_;
    const T* b_;  // [block][depth][width] or in place; narrow: [columns][depth]
    index_t block_stride_, depth_stride_;
    runtime::Buffer<T> copy_;
};

// Few rows use each element of b only a few times: a thread reads a part of b where it is, or brings it into its
// cache, and is done with it. A copy made by another thread would come from that one's cache, slowly.
template <class T>
class StreamedMatrix {
  public:
    StreamedMatrix(const RightFactor<T>& factor, index_t rows, int threads);

    // Parts of the columns to deal out to `threads`, up to `most` unless b is read in place and too large for a
    // cache: then one each, or as many as make long runs of each row.
    index_t items(int threads, index_t most) const;
    // As PreparedMatrix::multiply, for some of the rows; `thread` < threads is different for all that run at the same
    // time.
    void multiply(Range rows, Range blocks, const T* a, const T* bias, Activation activation, T* c, int thread) const;

  private:
    void multiply_strip(const kernels::BatchReduce<T>& strip_op, Range blocks, Range strip, T* packed) const;
    // Whether the vectors of the columns before a block and of a strip's rows end inside b.
    bool ends_in_b(index_t block, Range strip) const;
    index_t packed_size() const { return factor_.packed_size(group_, strip_); }  // of a thread

    const RightFactor<T>& factor_;
    index_t rows_;
    bool in_place_;
    bool asks_ahead_ = false;  // for the next strip; reads two vectors of columns at once, for up to a tile of rows
    index_t strip_, group_;    // depth of a step, blocks that are packed in one
    runtime::Buffer<T> packed_;
    runtime::Buffer<T> partial_;  // sums of a pass, laid out like c
};

}  // namespace fastconv::ops
