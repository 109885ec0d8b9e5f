// Nothing is packed. The whole vectors of columns are batch-reduce products of rows of a, read by broadcasts, and of
// b. The columns beyond them, of which a vector would be mostly empty, are summed with the lanes along the rows: with
// transpose_a these are the rows of a^T as they lie, else they are turned in registers. An item is a piece of rows.
#include "ops/direct_product.hpp"

#include <algorithm>

#include "dispatch/kernels.hpp"
#include "ops/packing.hpp"
#include "ops/streaming.hpp"
#include "ops/turned_product.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t no_offset[1] = {0};
constexpr index_t item_bytes = index_t{256} << 10;  // of a
constexpr index_t few_bytes = index_t{128} << 10;   // of b: c is written along its rows
constexpr index_t most_bytes = index_t{1} << 20;    // of b, which each item reads
constexpr index_t most_depth = 256, paged_depth = 128, short_depth = 24, page = 4096;
constexpr index_t short_bytes = index_t{16} << 10;  // of b
constexpr index_t fewest_rows = 32;                 // fewer read b in place anyway
constexpr index_t turned_rows = 128, turned_vectors = 4;

template <class T>
index_t bytes(index_t elements) {
    return elements * static_cast<index_t>(sizeof(T));
}

template <class T>
class Direct {
  public:
    Direct(const RightFactor<T>& b, index_t rows, const T* a, bool transpose_a, const T* bias, Activation activation,
           T* c)
        : b_(b), rows_(rows), a_(a), transpose_a_(transpose_a), bias_(bias), activation_(activation), c_(c) {}

    void run(int threads) const {
        const index_t items = pieces(pieces(bytes<T>(rows_ * pass_), item_bytes), threads) * threads;
        // Cut as evenly as can be, but where most of the work is by whole vectors of rows.
        const index_t unit = whole_ > rest_ ? 1 : kernels_.lanes, units = pieces(rows_, unit);
        // Of the sums of the rest: a vector of rows before an item, and those of the largest one.
        const index_t lanes = kernels_.lanes, stride = lanes + pieces(pieces(units, items) * unit, lanes) * lanes;
        const index_t turned_size = transpose_a_ ? 0 : rest_ * b_.depth, size = turned_size + rest_ * stride;
        const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * size));
        runtime::parallel_for(items, threads, [&](index_t item, int thread) {
            const auto [first, last] = runtime::share(units, static_cast<int>(item), static_cast<int>(items));
            if (first == last) return;
            const Range some{first * unit, std::min(last * unit, rows_)};
            T* const turned = scratch.data() + thread * size;
            if (rest_ > 0) multiply_rest(some, turned, turned + turned_size + lanes, stride);
            if (whole_ > 0) multiply_whole(some);
        });
    }

  private:
    void multiply_whole(Range some) const {
        const int vectors = block_vectors<T>(whole_);
        kernels::BatchReduce<T> op{};
        op.a_row_stride = transpose_a_ ? 1 : b_.depth;
        op.a_depth_stride = transpose_a_ ? rows_ : 1;
        op.a_offsets = op.b_offsets = no_offset;
        op.b_depth_stride = b_.columns;
        op.block_vectors = vectors;
        op.b_block_stride = vectors * kernels_.lanes;
        op.count = 1;
        op.c = c_ + some.begin * b_.columns;
        op.c_row_stride = b_.columns;
        op.columns = whole_;
        op.stream = stream_;
        for (index_t first = 0; first < b_.depth; first += pass_) {
            const bool last = first + pass_ >= b_.depth;
            op.depth = std::min(pass_, b_.depth - first);
            op.accumulate = first > 0;
            op.activation = last ? activation_ : Activation::linear;
            op.bias = last ? bias_ : nullptr;
            op.a = a_ + some.begin * op.a_row_stride + first * op.a_depth_stride;
            op.b = b_.b + first * b_.columns;
            if (bytes<T>(op.depth * whole_) <= few_bytes) {
                multiply_by_tiles(op, some.size(), kernels_.tile_rows[vectors - 1]);
            } else {
                op.rows = some.size();
                kernels_.batch_reduce(op);
            }
        }
    }

    // The columns after the whole vectors, as `sums` [columns][stride].
    void multiply_rest(Range some, T* turned, T* sums, index_t stride) const {
        if (transpose_a_) {
            const index_t lanes = kernels_.lanes, full = some.size() / lanes * lanes;
            if (full > 0) multiply_rows_of_rest({some.begin, some.begin + full}, sums, stride);
            if (full < some.size()) {  // some rows are done twice, for their vector to end inside a
                const index_t begin = std::max<index_t>(0, some.end - lanes);
                multiply_rows_of_rest({begin, begin + lanes}, sums + begin - some.begin, stride);
            }
        } else {
            kernels_.transpose(b_.depth, rest_, b_.b + whole_, b_.columns, turned, b_.depth);
            kernels_.transposed_product({turned, b_.depth, a_ + some.begin * b_.depth, rest_, some.size(), b_.depth,
                                         pass_, nullptr, Activation::linear, sums, stride, false});
        }
        if (bias_ || activation_ == Activation::relu)
            add_bias(rest_, some.size(), stride, bias_ ? bias_ + whole_ : nullptr, activation_, sums);
        kernels_.transpose(rest_, some.size(), sums, stride, c_ + some.begin * b_.columns + whole_, b_.columns);
    }

    // Whole vectors of rows, of a transposed a.
    void multiply_rows_of_rest(Range some, T* sums, index_t stride) const {
        kernels::BatchReduce<T> op{};
        op.a = b_.b + whole_;
        op.a_row_stride = 1;
        op.a_depth_stride = b_.columns;
        op.a_offsets = op.b_offsets = no_offset;
        op.b = a_ + some.begin;
        op.b_depth_stride = rows_;
        op.block_vectors = kernels_.block_vectors;
        op.b_block_stride = op.block_vectors * kernels_.lanes;
        op.count = 1;
        op.depth = b_.depth;
        op.c = sums;
        op.c_row_stride = stride;
        op.rows = rest_;
        op.columns = some.size();
        kernels_.batch_reduce(op);
    }

    const kernels::KernelsOf<T>& kernels_ = dispatch::active<T>();
    const RightFactor<T>& b_;
    index_t rows_;
    const T* a_;
    bool transpose_a_;
    const T* bias_;
    Activation activation_;
    T* c_;
    index_t rest_ = b_.columns % kernels_.lanes, whole_ = b_.columns - rest_;
    index_t pass_ = transpose_a_ ? b_.depth : b_.pass;
    bool stream_ = b_.depth <= pass_ && streams_rows(c_, rows_, b_.columns);
};

}  // namespace

// Time of the other ways over that of this one, float32, AVX-512 on Zen 4, 1 and 2 threads:
//
//   kernel gradient,                                 outputs
//   samples x inputs     20          40         100         128         300         512        1024
//          8 x 784   1.26, 1.20  1.54, 1.45  1.42, 1.45      -       1.09, 1.21  1.01, 1.03  1.00, 1.03
//         32 x 784   1.10, 1.09  1.11, 1.07  1.28, 1.42  1.10, 1.08  1.14, 1.20  1.06, 1.15  1.08, 1.10
//        128 x 784   1.02, 1.02  1.02, 1.03  1.03, 1.06  1.04, 1.05  1.10, 1.18  1.06, 1.12  1.07, 1.15
//        256 x 784   0.98, 0.96      -       1.01, 1.03      -       1.02, 1.06  1.08, 1.03  1.05, 1.06
//        128 x 4096  0.98, 1.00  0.98, 0.96  1.00, 0.98      -       1.07, 1.09  1.09, 1.09  1.06, 0.97
//        256 x 4096  0.93, 0.87      -       1.00, 0.96      -       1.01, 0.96  1.02, 1.10  1.04, 1.00  not this way
//        512 x 784   0.99, 0.99  1.01,   -   1.00, 1.02  1.02,   -   1.00, 0.98  0.99, 1.02  1.07, 1.13  not this way
//
//   forward,                                outputs
//   samples x inputs     68         100         128         256         512        1024
//         32 x 100       -           -       1.13, 1.24  1.08, 1.33  1.10, 1.17  1.11, 1.16
//         64 x 784   1.03, 1.03  1.02, 1.00  1.07, 1.17  1.03, 1.10      -           -
//        128 x 784   1.06, 1.03  1.03, 1.02  1.03, 1.16  1.04, 1.04      -           -
//        512 x 784       -       1.04, 1.05  1.01, 1.01  1.02, 1.33      -           -
//       1000 x 784   1.05, 1.08  1.03, 1.06      -           -           -           -
//
// Shorter vectors leave too little to do with a cache line of a transposed a (128 x 2048 -> 512, AVX2: 0.70), and
// many samples, whose rows lie a page or more apart, too few places in the second-level cache. With hardly any depth
// c is all that matters, and is left to those who write it best. Rows that lie half a page apart are turned slowly.
template <class T>
bool reads_directly(const RightFactor<T>& b, index_t rows, bool transpose_a) {
    const index_t lanes = dispatch::active<T>().lanes, rest = b.columns % lanes;
    if (bytes<T>(lanes) < stream_line || b.transposed || b.depth == 0 || rows < lanes) return false;
    const index_t size = bytes<T>(b.columns * b.depth);
    if (transpose_a)
        return b.depth <= (bytes<T>(rows) % page == 0 ? paged_depth : most_depth) &&
               (b.depth >= short_depth || size < short_bytes);
    if (b.narrow || rows < fewest_rows || size > most_bytes) return false;
    return rest == 0 ||
           (rest <= kernels::transposed_product_rows && b.depth >= kernels::transposed_product_depth &&
            bytes<T>(b.depth) % (page / 2) != 0 && rows >= turned_rows && b.columns >= turned_vectors * lanes);
}

template <class T>
void direct_product(const RightFactor<T>& b, index_t rows, const T* a, bool transpose_a, const T* bias,
                    Activation activation, T* c, int threads) {
    Direct<T>(b, rows, a, transpose_a, bias, activation, c).run(threads);
}

template bool reads_directly(const RightFactor<float>&, index_t, bool);
template bool reads_directly(const RightFactor<double>&, index_t, bool);
template void direct_product(const RightFactor<float>&, index_t, const float*, bool, const float*, Activation, float*,
                             int);
template void direct_product(const RightFactor<double>&, index_t, const double*, bool, const double*, Activation,
                             double*, int);

}  // namespace fastconv::ops
