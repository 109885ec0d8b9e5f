#include "ops/right_factor.hpp"

#include <algorithm>

#include "dispatch/kernels.hpp"
#include "ops/packing.hpp"
#include "ops/streaming.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t block_bytes = index_t{128} << 10;  // of b in one pass,
constexpr index_t least_pass = 1024;                 // of which the depth may be as much in any case
constexpr index_t item_bytes = index_t{256} << 10;   // of a for block_bytes of b
constexpr index_t near_bytes = index_t{128} << 10;   // of c in an item; more does not stay in the cache
constexpr index_t in_place_rows = 32;                // fewer do not repay a copy of b
constexpr index_t striped_bytes = index_t{2} << 20;  // more of b comes from far and is read row by row
constexpr index_t far_bytes = index_t{12} << 20;     // more of b comes from memory
constexpr index_t streamed_strip = 16;               // rows of b at least that are read side by side then; half as
                                                     // many for one row of a, twice as many to ask for more ahead
constexpr index_t run_bytes = index_t{8} << 10;      // of a row of b, asked for in one
constexpr index_t strip_bytes = index_t{64} << 10;   // of b in a strip, if so many rows are more

// Lanes along the depth: time of batch_reduce over that of inner_products, 128 rows, float32, AVX-512 on Zen 4:
//   columns       4     6    10    12    14    20    24
//   depth   64  2.3   1.6   0.97  0.83  0.73  0.87  0.69
//   depth  128  3.0   2.1   1.2   1.07  0.92  1.13  0.93
//   depth 1600  4.1   2.9   1.7   1.4   1.2   1.6   1.3
template <class T>
bool is_narrow(index_t columns, index_t depth) {
    const auto& kernels = dispatch::active<T>();
    const index_t lanes = kernels.lanes, vectors = pieces(columns, lanes);
    return kernels.inner_product_rows > 0 && vectors <= 2 && 4 * columns <= 3 * vectors * lanes && depth >= 8 * lanes;
}

constexpr index_t no_offset[1] = {0};

// What is the same for all parts of a product.
template <class T>
kernels::BatchReduce<T> product(const RightFactor<T>& factor) {
    kernels::BatchReduce<T> op{};
    op.a_row_stride = factor.depth;
    op.a_depth_stride = 1;
    op.a_offsets = op.b_offsets = no_offset;
    op.b_depth_stride = factor.width;
    op.block_vectors = factor.block_vectors;
    op.count = 1;
    op.c_row_stride = factor.columns;
    return op;
}

// Blocks of a pass that together are as much as one may be: with little depth c is then written along its rows.
template <class T>
index_t blocks_at_once(const RightFactor<T>& factor) {
    const index_t bytes = std::max<index_t>(1, factor.pass) * factor.width * static_cast<index_t>(sizeof(T));
    return std::clamp<index_t>(block_bytes / bytes, 1, factor.blocks);
}

}  // namespace

template <class T>
void multiply_by_tiles(kernels::BatchReduce<T> op, index_t rows, index_t tallest) {
    if (op.columns <= op.block_vectors * dispatch::active<T>().lanes) {
        op.rows = rows;
        return dispatch::active<T>().batch_reduce(op);
    }
    for (index_t left = rows; left > 0; left -= op.rows) {
        op.rows = pieces(left, pieces(left, tallest));
        dispatch::active<T>().batch_reduce(op);
        op.a += op.rows * op.a_row_stride;
        op.c += op.rows * op.c_row_stride;
        if (op.start) op.start += op.rows * op.c_row_stride;
    }
}

// The deeper a pass, the less often c is read and written. Time of passes of at most 512 over that of 1024 where c is
// also asked for early, float32, AVX-512 on Zen 4, 1 and 2 threads: 1024x1024x1024 1.04, 1.04; 1500x784x1000 1.03
// (2 threads); 128x1024x4096, transposed, 1.03; up to 32 rows 0.97 to 1.03.
template <class T>
RightFactor<T>::RightFactor(index_t columns_, index_t depth_, const T* b_, bool transposed_)
    : columns(columns_), depth(depth_), b(b_), transposed(transposed_), narrow(is_narrow<T>(columns_, depth_)) {
    const auto& kernels = dispatch::active<T>();
    if (narrow) {
        block_vectors = 0;
        width = columns;
        pass = depth;
        tallest_tile = kernels.inner_product_rows;
    } else {
        block_vectors = ops::block_vectors<T>(columns);
        width = block_vectors * kernels.lanes;
        const index_t row_bytes = width * static_cast<index_t>(sizeof(T));
        const index_t passes = pieces(std::max<index_t>(1, depth), std::max(least_pass, block_bytes / row_bytes));
        pass = std::max<index_t>(1, pieces(depth, passes));
        tallest_tile = kernels.tile_rows[block_vectors - 1];
    }
    blocks = pieces(columns, width);
}

template <class T>
index_t RightFactor<T>::rows_at_once() const {
    constexpr index_t element = sizeof(T);
    const index_t part = pieces(pass, narrow ? 1 : pieces(pass * width * element, block_bytes));
    return std::max<index_t>(1, item_bytes / (std::max<index_t>(1, part) * tallest_tile * element)) * tallest_tile;
}

template <class T>
bool RightFactor<T>::lies_ready() const {
    return narrow ? transposed || columns == 1 : !transposed && columns == width;
}

// One sample, 32 MB L3, us, plain -> asked for early (input gradient: where no squares are turned):
//                      forward, 1 and 2 threads       input gradient
//    8 MB, 2048x1000    158 -> 153    93 -> 86      183 -> 182   84 -> 86
//   16 MB, 4096x1000    600 -> 342   314 -> 227     514 -> 345  204 -> 192
//   67 MB, 4096x4096   3316 -> 2951 2714 -> 2237
//
// Several samples, AVX-512, ms, 1 and 2 threads, plain -> the next strip asked for in long runs, 2 vectors at once:
//              67 MB, 4096x4096           411 MB, 25088x4096         16 MB, 4096x1000
//    2 rows    4.3 -> 4.2   2.8 -> 2.6
//    4 rows    5.1 -> 3.5   3.3 -> 2.5
//    8 rows    5.8 -> 3.9   3.5 -> 2.9    36.5 -> 22.9  22.5 -> 14.9    1.4 -> 0.8  0.9 -> 0.5
//   16 rows    9.2 -> 7.6   5.2 -> 4.1
// but 8 MB, 2048x1000, 8 rows: 0.50 -> 0.43, 0.24 -> 0.29.
template <class T>
bool RightFactor<T>::beyond_caches() const {
    return columns * depth * static_cast<index_t>(sizeof(T)) > far_bytes;
}

template <class T>
bool RightFactor<T>::is_read_in_place(index_t rows) const {
    return !narrow && !transposed && rows < in_place_rows;
}

template <class T>
void RightFactor<T>::pack(Range some_blocks, Range rows, T* out) const {
    if (narrow)
        return dispatch::active<T>().transpose(rows.size(), columns, b + rows.begin * columns, columns, out,
                                               rows.size());
    const auto& kernels = dispatch::active<T>();
    const index_t panel = rows.size() * width, first = some_blocks.begin * width;
    const index_t used = std::min(some_blocks.end * width, columns) - first;
    if (transposed) {
        for (index_t column = 0; column < used; column += width)
            kernels.transpose(std::min(width, used - column), rows.size(), b + (first + column) * depth + rows.begin,
                              depth, out + column / width * panel, width);
    } else {
        kernels.pack_panels(rows.size(), used, b + rows.begin * columns + first, columns, width, out, panel);
    }
    if (used % width == 0) return;
    T* last = out + used / width * panel;
    for (index_t k = 0; k < rows.size(); ++k)
        std::fill(last + k * width + used % width, last + (k + 1) * width, T(0));
}

template <class T>
PreparedMatrix<T>::PreparedMatrix(const RightFactor<T>& factor, bool keep_in_place, int num_threads)
    : factor_(factor), b_(factor.b), block_stride_(factor.width), depth_stride_(factor.columns) {
    const index_t depth = factor.depth, width = factor.width;
    const bool readable = !factor.transposed && factor.columns % dispatch::active<T>().lanes == 0;
    if (factor.lies_ready() || (keep_in_place && readable && !factor.narrow)) return;
    block_stride_ = depth * width;
    depth_stride_ = width;
    copy_ = runtime::Buffer<T>(static_cast<std::size_t>(factor.packed_size(factor.blocks, depth)));
    b_ = copy_.data();
    const index_t slice = factor.narrow ? depth : 256, slices = pieces(depth, slice), items = factor.blocks * slices;
    const double work = runtime::work_of_memory * static_cast<double>(factor.columns * depth);
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t block = item / slices, first = item % slices * slice;
        factor.pack({block, block + 1}, {first, std::min(depth, first + slice)},
                    copy_.data() + (block * depth + first) * width);
    });
}

template <class T>
void PreparedMatrix<T>::multiply(index_t rows, Range blocks, const T* a, const T* bias, Activation activation, T* c,
                                 bool stream) const {
    const index_t columns = factor_.columns, depth = factor_.depth, width = factor_.width;
    if (factor_.narrow) {
        dispatch::active<T>().inner_products(
            {a, depth, b_, depth, rows, columns, depth, bias, activation, c, columns});
        return;
    }
    const index_t group = blocks_at_once(factor_);
    auto op = product(factor_);
    op.b_block_stride = block_stride_;
    op.b_depth_stride = depth_stride_;
    op.stream = stream && factor_.pass >= depth;
    op.from_memory = rows * columns * static_cast<index_t>(sizeof(T)) > near_bytes;
    for (index_t first = 0; first == 0 || first < depth; first += factor_.pass) {
        const bool last = first + factor_.pass >= depth;
        op.depth = std::min(factor_.pass, depth - first);
        op.accumulate = first > 0;
        op.activation = last ? activation : Activation::linear;
        op.a = a + first;
        for (index_t block = blocks.begin; block < blocks.end; block += group) {
            const index_t column = block * width;
            op.columns = std::min(std::min(blocks.end, block + group) * width, columns) - column;
            op.b = b_ + block * block_stride_ + first * depth_stride_;
            op.c = c + column;
            op.bias = last && bias ? bias + column : nullptr;
            multiply_by_tiles(op, rows, factor_.tallest_tile);
        }
    }
}

template <class T>
StreamedMatrix<T>::StreamedMatrix(const RightFactor<T>& factor, index_t rows, int threads)
    : factor_(factor),
      rows_(rows),
      in_place_(factor.lies_ready()),
      strip_(factor.pass),
      group_(blocks_at_once(factor)) {
    if (factor.is_read_in_place(rows)) {
        in_place_ = true;
        group_ = 1;  // the last one
        const index_t row_bytes = factor.columns * static_cast<index_t>(sizeof(T));
        const index_t least = rows == 1                ? streamed_strip / 2
                              : factor.beyond_caches() ? 2 * streamed_strip
                                                       : streamed_strip;
        asks_ahead_ = rows > 1 && factor.beyond_caches();
        if (row_bytes * factor.depth > striped_bytes)
            strip_ = std::min(strip_, std::max(least, strip_bytes * threads / row_bytes));
        if (strip_ < factor.pass && factor.pass < factor.depth)
            partial_ = runtime::Buffer<T>(static_cast<std::size_t>(rows * factor.columns));
    }
    packed_ = runtime::Buffer<T>(static_cast<std::size_t>(threads * packed_size()));
}

template <class T>
index_t StreamedMatrix<T>::items(int threads, index_t most) const {
    if (strip_ == factor_.pass) return std::min(factor_.blocks, most);
    if (!asks_ahead_) return threads;
    const index_t runs = pieces(factor_.columns * static_cast<index_t>(sizeof(T)), run_bytes);
    return std::min(factor_.blocks, pieces(runs, threads) * threads);
}

template <class T>
void StreamedMatrix<T>::multiply(Range rows, Range blocks, const T* a, const T* bias, Activation activation, T* c,
                                 int thread) const {
    const index_t columns = factor_.columns, depth = factor_.depth;
    T* const packed = packed_.data() + thread * packed_size();
    const bool stream = strip_ >= depth && streams_rows(c, rows_, columns);
    a += rows.begin * depth;
    c += rows.begin * columns;
    if (factor_.narrow) {
        if (!in_place_) factor_.pack({0, 1}, {0, depth}, packed);
        dispatch::active<T>().inner_products({a, depth, in_place_ ? factor_.b : packed, depth, rows.size(), columns,
                                              depth, bias, activation, c, columns});
        return;
    }
    T* const partial = partial_.data() ? partial_.data() + rows.begin * columns : nullptr;
    auto op = product(factor_);
    op.rows = rows.size();
    op.stream = stream;
    op.b_from_memory = factor_.beyond_caches();
    for (index_t pass = 0; pass == 0 || pass < depth; pass += factor_.pass) {
        const index_t pass_end = std::min(depth, pass + factor_.pass);
        for (index_t first = pass; first == pass || first < pass_end; first += strip_) {
            const Range strip{first, std::min(pass_end, first + strip_)};
            // The strips of a pass are one sum; passes are added.
            const bool last = strip.end == pass_end;
            op.c = pass == 0 || last ? c : partial;
            op.start = first == pass ? nullptr : pass == 0 ? c : partial;
            op.accumulate = pass > 0 && last;
            op.activation = strip.end == depth ? activation : Activation::linear;
            op.bias = strip.end == depth ? bias : nullptr;
            op.a = a + first;
            op.depth = strip.size();
            multiply_strip(op, blocks, strip, packed);
        }
    }
}

// op.start, op.c and op.bias are those of column 0.
template <class T>
void StreamedMatrix<T>::multiply_strip(const kernels::BatchReduce<T>& strip_op, Range blocks, Range strip,
                                       T* packed) const {
    for (index_t block = blocks.begin, next; block < blocks.end; block = next) {
        const index_t column = block * factor_.width;
        auto op = strip_op;
        // The last vector in place must not reach beyond the end of b.
        next = blocks.end;
        const bool readable = in_place_ && (ends_in_b(next, strip) || ends_in_b(--next, strip)) && next > block;
        if (readable) {
            op.b = factor_.b + strip.begin * factor_.columns + column;
            op.block_vectors = asks_ahead_ ? 2 : factor_.block_vectors;
            op.b_block_stride = op.block_vectors * dispatch::active<T>().lanes;
            op.b_depth_stride = factor_.columns;
            // Behind the last strip: what lies there; nothing is read of it.
            if (asks_ahead_) op.b_ahead = op.b + strip.size() * factor_.columns;
        } else {
            next = std::min(blocks.end, block + group_);
            factor_.pack({block, next}, strip, packed);
            op.b = packed;
            op.b_block_stride = strip.size() * factor_.width;
        }
        op.columns = std::min(next * factor_.width, factor_.columns) - column;
        op.c += column;
        if (op.start) op.start += column;
        if (op.bias) op.bias += column;
        if (readable)
            dispatch::active<T>().batch_reduce(op);
        else
            multiply_by_tiles(op, op.rows, factor_.tallest_tile);
    }
}

template <class T>
bool StreamedMatrix<T>::ends_in_b(index_t block, Range strip) const {
    const index_t lanes = dispatch::active<T>().lanes;
    const index_t columns = pieces(std::min(factor_.columns, block * factor_.width), lanes) * lanes;
    return (strip.end - 1) * factor_.columns + columns <= factor_.depth * factor_.columns;
}

template void multiply_by_tiles(kernels::BatchReduce<float>, index_t, index_t);
template void multiply_by_tiles(kernels::BatchReduce<double>, index_t, index_t);
template struct RightFactor<float>;
template struct RightFactor<double>;
template class PreparedMatrix<float>;
template class PreparedMatrix<double>;
template class StreamedMatrix<float>;
template class StreamedMatrix<double>;

}  // namespace fastconv::ops
