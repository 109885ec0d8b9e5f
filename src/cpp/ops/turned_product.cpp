// An item is a block of rows of c, as wide as the vectors of a tile. op(a)^T is read where it is, or packed, pass
// after pass; b is read by broadcasts, where it is. The sums of the block stay in the second-level cache until they
// are turned into c.
#include "ops/turned_product.hpp"

#include <algorithm>

#include "dispatch/kernels.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t no_offset[1] = {0};
constexpr index_t most_pass = 512;                // of a narrow b, whose own passes are its whole depth
constexpr index_t most_bytes = index_t{2} << 20;  // of b, which each item reads
// Multiply-adds of vectors that take the time of copying a vector, and of turning it.
constexpr index_t copy_cost = 3, turn_cost = 6;

template <class T>
void add_bias(index_t columns, index_t width, const T* bias, Activation activation, T* sums) {
    const bool relu = activation == Activation::relu;
    for (index_t n = 0; n < columns; ++n, sums += width) {
        const T shift = bias ? bias[n] : T(0);
        for (index_t i = 0; i < width; ++i) {
            const T value = bias ? sums[i] + shift : sums[i];
            sums[i] = relu && value < 0 ? T(0) : value;
        }
    }
}

}  // namespace

// Multiply-adds of vectors for each step of the depth, this way and the other. Time of the other way over that of
// this one, 2 threads, AVX-512 on Zen 4, for x (samples x inputs) and a kernel of `outputs` columns:
//
//                             forward, outputs         kernel gradient         input gradient
//   samples x inputs      40    64   100   128      40    64   100   128      40   100   256
//         16 x 128      1.63  0.90  1.25  0.93    1.35  0.85  1.12  0.91    1.14  1.20  1.20
//         32 x 784      1.66  0.87  1.59  1.29    1.55  0.99  1.32  1.03    0.76  1.01  1.22
//        128 x 784      1.22  0.90  1.19  1.04    1.58  1.22  1.30  1.09    0.97  1.03  1.06
//       1000 x 784      1.14  0.90  1.14  0.97    1.64  1.29  1.42  1.12    0.86  0.84  0.97
template <class T>
bool turns(const RightFactor<T>& b, index_t rows, bool transpose_a, int threads) {
    const index_t lanes = dispatch::active<T>().lanes, columns = b.columns, depth = b.depth;
    if (depth == 0 || columns * depth * static_cast<index_t>(sizeof(T)) > most_bytes) return false;
    if (!transpose_a && (b.narrow || pieces(rows, lanes) < threads)) return false;
    const index_t prepare_b = b.transposed ? turn_cost : b.lies_ready() ? 0 : copy_cost;
    const index_t plain =
        rows * pieces(columns, lanes) * lanes + columns * prepare_b + (transpose_a ? rows * turn_cost : 0);
    const index_t turned = columns * pieces(rows, lanes) * lanes + (transpose_a ? 0 : rows * turn_cost) +
                           rows * columns * turn_cost / depth;
    return turned < plain;
}

template <class T>
void turned_product(const RightFactor<T>& b, index_t rows, const T* a, bool transpose_a, const T* bias,
                    Activation activation, T* c, int num_threads) {
    const auto& kernels = dispatch::active<T>();
    const index_t columns = b.columns, depth = b.depth, lanes = kernels.lanes;
    const index_t pass = b.narrow ? std::min(depth, most_pass) : b.pass;
    const double work = static_cast<double>(rows * columns) * static_cast<double>(depth);
    const int threads = runtime::thread_count(pieces(rows, lanes), work, num_threads);
    const Cut items(rows, std::min<index_t>(kernels.block_vectors * lanes, pieces(rows, threads)), lanes);
    const index_t width = items.piece, packed_size = pass * width, size = packed_size + columns * width;
    const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * size));
    runtime::parallel_for(items.count, threads, [&](index_t item, int thread) {
        const Range some = items[item];
        T* const packed = scratch.data() + thread * size;
        T* const sums = packed + packed_size;
        const bool in_place = transpose_a && some.size() % lanes == 0;
        if (some.size() % lanes != 0) std::fill_n(packed, packed_size, T(0));
        kernels::BatchReduce<T> op{};
        op.a_row_stride = b.transposed ? depth : 1;
        op.a_depth_stride = b.transposed ? 1 : columns;
        op.a_offsets = op.b_offsets = no_offset;
        op.b_depth_stride = in_place ? rows : width;
        op.count = 1;
        op.c = sums;
        op.c_row_stride = width;
        op.rows = columns;
        op.columns = pieces(some.size(), lanes) * lanes;
        op.block_vectors = static_cast<int>(width / lanes);
        for (index_t first = 0; first < depth; first += pass) {
            op.depth = std::min(pass, depth - first);
            op.accumulate = first > 0;
            op.a = b.b + first * op.a_depth_stride;
            op.b = packed;
            if (in_place)
                op.b = a + first * rows + some.begin;
            else if (transpose_a)
                kernels.pack_panels(op.depth, some.size(), a + first * rows + some.begin, rows, width, packed, 0);
            else
                kernels.transpose(some.size(), op.depth, a + some.begin * depth + first, depth, packed, width);
            kernels.batch_reduce(op);
        }
        if (bias || activation == Activation::relu) add_bias(columns, width, bias, activation, sums);
        kernels.transpose(columns, some.size(), sums, width, c + some.begin * columns, columns);
    });
}

template bool turns(const RightFactor<float>&, index_t, bool, int);
template bool turns(const RightFactor<double>&, index_t, bool, int);
template void turned_product(const RightFactor<float>&, index_t, const float*, bool, const float*, Activation, float*,
                             int);
template void turned_product(const RightFactor<double>&, index_t, const double*, bool, const double*, Activation,
                             double*, int);

}  // namespace fastconv::ops
