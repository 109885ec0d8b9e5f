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
constexpr index_t most_pass = 512;                    // of a narrow b, whose own passes are its whole depth
constexpr index_t packed_bytes = index_t{128} << 10;  // of a stored transposed, in a pass
constexpr index_t most_bytes = index_t{2} << 20;      // of b, which each item reads
constexpr index_t most_sums = index_t{512} << 10;     // bytes of them, of an item
constexpr index_t near_bytes = index_t{256} << 10;    // of a, of each thread
constexpr index_t long_row = 128;                     // bytes
constexpr index_t dealt_vectors = 4;                  // of columns for each thread, to be dealt out in blocks
constexpr index_t least_vector = 32;                  // bytes; shorter ones leave little to fill
// Multiply-adds of vectors that take the time of copying a vector, of turning it, and of turning sums into c.
constexpr index_t copy_cost = 3, turn_cost = 6, turn_back_cost = 5;

template <class T>
constexpr index_t bytes(index_t elements) {
    return elements * static_cast<index_t>(sizeof(T));
}

template <class T>
Cut cut_rows(index_t rows, int threads) {
    const auto& kernels = dispatch::active<T>();
    return {rows, std::min<index_t>(kernels.block_vectors * kernels.lanes, pieces(rows, threads)), kernels.lanes};
}

// Whether `a`, stored transposed, is not packed: an item reads a short part of each of its rows, again for each tile
// of columns, slowly unless those are few or `a` stays in the cache.
template <class T>
bool is_read_in_place(index_t rows, index_t columns, index_t depth, index_t width, int threads) {
    return bytes<T>(width) >= long_row || columns <= 2 * width || bytes<T>(rows * depth) <= near_bytes * threads;
}

// Some rows of op(a), in a part of their depth, as columns.
template <class T>
void pack_rows(Range some, Range part, index_t rows, index_t depth, const T* a, bool transpose_a, T* out,
               index_t width) {
    const auto& kernels = dispatch::active<T>();
    if (transpose_a)
        kernels.pack_panels(part.size(), some.size(), a + part.begin * rows + some.begin, rows, width, out, 0);
    else
        kernels.transpose(some.size(), part.size(), a + some.begin * depth + part.begin, depth, out, width);
}

}  // namespace

template <class T>
void add_bias(index_t columns, index_t rows, index_t stride, const T* bias, Activation activation, T* sums) {
    const bool relu = activation == Activation::relu;
    for (index_t n = 0; n < columns; ++n, sums += stride) {
        const T shift = bias ? bias[n] : T(0);
        for (index_t i = 0; i < rows; ++i) {
            const T value = bias ? sums[i] + shift : sums[i];
            sums[i] = relu && value < 0 ? T(0) : value;
        }
    }
}

// Multiply-adds of vectors for each step of the depth, this way and the other. Time of the other way over that of
// this one, float32, 2 threads on Zen 4, for x (samples x inputs) and a kernel of `outputs` columns; * = turned, if
// neither is direct_product:
//
//                               forward, outputs             kernel gradient             input gradient
//           samples x inputs    40     64    100    128      40     64    100    128      40    100    256
//   AVX-512    16 x 128  1.53*  0.90   1.24*  0.93   1.30   0.87   1.18   0.85   1.12*  1.17*  1.23*
//              32 x 784  1.58*  0.95   1.49*  1.17*  1.44*  1.10   1.23   0.93   1.17*  1.16*  1.17*
//             128 x 784  1.20*  0.93   1.17*  1.02   1.42*  1.18*  1.31*  1.06*  0.96   1.04   1.05*
//            1000 x 784  1.08*  0.90   1.12*  0.92   1.50*  1.16*  1.33*  1.12*  0.83   0.91   0.95
//   AVX2       16 x 128  1.05   1.03   1.16*  1.01   1.02   0.99   1.11   0.90   1.19*  1.25*  1.24*
//              32 x 784  1.40   1.05   1.43*  1.06*  1.46   1.37   1.39   1.32   1.08*  1.16*  1.16*
//             128 x 784  0.94   0.97   1.09   0.90   1.17   1.09   1.08   0.86   1.02   1.04   1.05*
//            1000 x 784  0.90   0.95   1.01   0.95   1.13   1.03   1.13*  0.90   0.95   0.95   0.94
//
// Few rows, forward, 1 thread, 784 inputs:
//
//            outputs, rows  6      8     12     13     14     15     16     20     24     28     31     32
//   AVX-512       100       0.50   0.64   0.89   0.95   1.02   1.08   1.17*  0.71   0.85   0.97*  1.08*  1.28*
//                 256       0.37   0.51   0.73   0.79   0.85   0.91   0.98   0.61   0.73   0.84   0.93   1.11*
//   AVX2          100       0.79   1.29*  1.01   1.17   1.20*  1.25*  1.30*  0.92   1.09*  1.04*  1.16*  1.16*
//                 256       0.65   1.03   0.83   0.99   1.04   0.92   0.98   0.72   0.85   0.84   0.94   1.04*
//   SSE4.2        100       0.75   1.14   0.90   0.81   0.89   0.91   0.99   0.96   0.97   0.92   0.94   1.07
//                 256       0.80   1.18   0.88   0.82   0.84   0.90   0.96   0.91   0.95   0.93   0.92   1.02
template <class T>
bool turns(const RightFactor<T>& b, index_t rows, bool transpose_a, int threads) {
    const auto& kernels = dispatch::active<T>();
    const index_t lanes = kernels.lanes, columns = b.columns, depth = b.depth;
    if (depth == 0 || bytes<T>(columns * depth) > most_bytes) return false;
    if (transpose_a)
        threads = 1;  // the sums of another way, so a choice that does not depend on them
    else if (b.narrow || rows < threads * lanes || bytes<T>(lanes) < least_vector)
        return false;
    const Cut items = cut_rows<T>(rows, threads);
    if (bytes<T>(columns * items.piece) > most_sums) return false;

    // In place, rows of b that are not whole vectors cost each tile of rows about a multiply-add more.
    index_t prepare_b = b.transposed ? turn_cost : b.lies_ready() ? 0 : copy_cost;
    if (!transpose_a && b.is_read_in_place(rows)) prepare_b = columns % lanes == 0 ? 0 : pieces(rows, b.tallest_tile);
    // As if all threads had as much to do as the first.
    const index_t vectors = pieces(columns, lanes);
    const index_t dealt = b.transposed && vectors >= dealt_vectors * threads ? threads : 1;
    const index_t plain =
        rows * pieces(vectors, dealt) * dealt * lanes + columns * prepare_b + (transpose_a ? rows * turn_cost : 0);

    const bool in_place = transpose_a && is_read_in_place<T>(rows, columns, depth, items.piece, threads);
    const index_t filled =
        threads > 1 ? pieces(items.count, threads) * threads * items.piece : pieces(rows, lanes) * lanes;
    const index_t turned =
        columns * filled + (in_place ? 0 : rows * turn_cost) + rows * columns * turn_back_cost / depth;
    // Vectors of 4 leave so little to gain that what is not counted here decides.
    return lanes > 4 ? turned < plain : turned + turned / 12 < plain;
}

template <class T>
void turned_product(const RightFactor<T>& b, index_t rows, const T* a, bool transpose_a, const T* bias,
                    Activation activation, T* c, int threads) {
    const auto& kernels = dispatch::active<T>();
    const index_t columns = b.columns, depth = b.depth, lanes = kernels.lanes;
    // As for the widest items: threads must not change the order of the sums.
    const index_t transposed_pass =
        pieces(depth, pieces(bytes<T>(depth * kernels.block_vectors * lanes), packed_bytes));
    const index_t pass = b.narrow ? std::min(depth, most_pass) : transpose_a ? transposed_pass : b.pass;
    const Cut items = cut_rows<T>(rows, threads);
    const index_t width = items.piece, packed_size = pass * width, size = packed_size + columns * width;
    threads = static_cast<int>(std::min<index_t>(threads, items.count));
    const bool readable = transpose_a && is_read_in_place<T>(rows, columns, depth, width, threads);
    const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * size));
    runtime::parallel_for(items.count, threads, [&](index_t item, int thread) {
        const Range some = items[item];
        T* const packed = scratch.data() + thread * size;
        T* const sums = packed + packed_size;
        const bool in_place = readable && some.size() % lanes == 0;
        if (some.size() % lanes != 0) std::fill_n(packed, packed_size, T(0));
        kernels::BatchReduce<T> op{};
        op.a_row_stride = b.transposed ? depth : 1;
        op.a_depth_stride = b.transposed ? 1 : columns;
        op.a_offsets = op.b_offsets = no_offset;
        op.b_depth_stride = in_place ? rows : width;
        op.count = 1;
        op.c = sums;
        op.c_row_stride = width;
        op.columns = pieces(some.size(), lanes) * lanes;
        op.block_vectors = static_cast<int>(width / lanes);
        // Sums of one pass are turned while they are in the nearest cache: whole tiles, and whole vectors of columns.
        const index_t part = depth <= pass ? kernels.tile_rows[op.block_vectors - 1] * lanes : columns;
        for (index_t column = 0; column < columns; column += part) {
            op.rows = std::min(part, columns - column);
            for (index_t first = 0; first < depth; first += pass) {
                op.depth = std::min(pass, depth - first);
                op.accumulate = first > 0;
                op.a = b.b + column * (b.transposed ? depth : 1) + first * op.a_depth_stride;
                op.b = packed;
                if (in_place)
                    op.b = a + first * rows + some.begin;
                else if (column == 0)
                    pack_rows(some, {first, first + op.depth}, rows, depth, a, transpose_a, packed, width);
                kernels.batch_reduce(op);
            }
            if (bias || activation == Activation::relu)
                add_bias(op.rows, op.columns, width, bias ? bias + column : nullptr, activation, sums);
            kernels.transpose(op.rows, some.size(), sums, width, c + some.begin * columns + column, columns);
        }
    });
}

template void add_bias(index_t, index_t, index_t, const float*, Activation, float*);
template void add_bias(index_t, index_t, index_t, const double*, Activation, double*);
template bool turns(const RightFactor<float>&, index_t, bool, int);
template bool turns(const RightFactor<double>&, index_t, bool, int);
template void turned_product(const RightFactor<float>&, index_t, const float*, bool, const float*, Activation, float*,
                             int);
template void turned_product(const RightFactor<double>&, index_t, const double*, bool, const double*, Activation,
                             double*, int);

}  // namespace fastconv::ops
