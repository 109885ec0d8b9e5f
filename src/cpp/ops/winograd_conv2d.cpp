#include "ops/winograd_conv2d.hpp"

#include <algorithm>
#include <atomic>

#include "ops/packing.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t block_bytes = index_t{512} << 10;  // of transformed inputs and products: half a second-level cache
constexpr index_t group_bytes = 256;                 // columns of a group: wide enough to read inputs seldom
constexpr index_t fewest_tile_rows = 4;              // of BatchReduce, so that weights are read seldom

// Tap positions of outputs along one axis that lie inside the image: what a direct sum computes.
index_t taps_inside(index_t in_length, index_t out_length, index_t offset) {
    index_t count = 0;
    for (index_t r = offset; r < offset + 3; ++r)
        count += std::max<index_t>(0, std::min(out_length, in_length - r) - std::max<index_t>(0, -r));
    return count;
}

// How many times as fast as direct sums: their products for an image over 16 products a tile, to which the transforms
// add as much as `transform_cost` more channels on the other side would. Measured on Zen 4, 1 thread, batch 64 or
// 128:
//
//   forward                   AVX-512  AVX2  x86-64-v2  expected      input gradient          AVX-512  expected
//   13x13x8 -> 8    valid         -    0.87    1.02       0.84        13x13x16 -> 16  valid     0.90     0.85
//   13x13x16 -> 16  valid       1.15   1.14    1.29       1.16        13x13x32 -> 32  valid     1.10     1.06
//   13x13x32 -> 32  valid       1.44   1.82    1.95       1.44        13x13x32 -> 64  valid     1.14     1.13
//   4x4x32 -> 32    same        1.21   1.24    1.33       1.19        5x5x32 -> 32    valid     0.50     0.48
//   7x7x128 -> 128  same        1.29   1.24    1.33       1.31        7x7x128 -> 128  same      1.28     1.31
//   3x3x64 -> 64    same        0.69     -       -        0.66        28x28x16 -> 64  same      1.54     1.48
//
// (AVX2 and x86-64-v2: 2 threads from 16 channels on.) A margin on top keeps both ways where they are alike direct.
constexpr double transform_cost = 5, enough = 1.1;

double expected_gain(const TileGrid& grid, const TiledImages& in, const TiledImages& out) {
    const index_t direct = taps_inside(in.height, out.height, in.row) * taps_inside(in.width, out.width, in.column);
    const double transforms =
        transform_cost / static_cast<double>(in.channels) + transform_cost / static_cast<double>(out.channels);
    return static_cast<double>(direct) / static_cast<double>(16 * grid.per_image()) / (1 + transforms);
}

template <class T>
bool serves(const Conv2dShape& s) {
    const index_t lanes = dispatch::active<T>().lanes;
    return runtime::precision() != runtime::Precision::strict && s.groups == 1 && s.kernel_height == 3 &&
           s.kernel_width == 3 && s.stride_height == 1 && s.stride_width == 1 && s.dilation_height == 1 &&
           s.dilation_width == 1 && s.in_channels > 0 && s.in_channels % lanes == 0 && s.out_channels > 0 &&
           s.out_channels % lanes == 0;
}

TileGrid tiles_of(const TiledImages& out) { return {(out.height + 1) / 2, (out.width + 1) / 2}; }

}  // namespace

template <class T>
std::optional<WinogradConv2d<T>> WinogradConv2d<T>::forward(const Conv2dShape& s, const T* kernel, int num_threads) {
    const TiledImages in{s.in_height, s.in_width, s.in_channels, -s.pad_top, -s.pad_left};
    const TiledImages out{s.out_height, s.out_width, s.out_channels, 0, 0};
    const TileGrid grid = tiles_of(out);
    if (!serves<T>(s) || expected_gain(grid, in, out) < enough) return {};
    const int vectors = block_vectors<T>(s.out_channels);
    return WinogradConv2d(grid, in, out, TransformedWeights<T>::forward(s, kernel, vectors, num_threads));
}

template <class T>
std::optional<WinogradConv2d<T>> WinogradConv2d<T>::input_gradient(const Conv2dShape& s, const T* kernel,
                                                                   int num_threads) {
    const TiledImages in{s.out_height, s.out_width, s.out_channels, s.pad_top - 2, s.pad_left - 2};
    const TiledImages out{s.in_height, s.in_width, s.in_channels, 0, 0};
    const TileGrid grid = tiles_of(out);
    if (!serves<T>(s) || expected_gain(grid, in, out) < enough) return {};
    const int vectors = block_vectors<T>(s.in_channels);
    return WinogradConv2d(grid, in, out, TransformedWeights<T>::transposed(s, kernel, vectors, num_threads));
}

template <class T>
WinogradConv2d<T>::WinogradConv2d(const TileGrid& grid, const TiledImages& in, const TiledImages& out,
                                  TransformedWeights<T> weights)
    : in_(in),
      out_(out),
      products_(grid, in, std::move(weights)),
      group_blocks_(std::clamp<index_t>(group_bytes / (products_.width() * static_cast<index_t>(sizeof(T))), 1,
                                        products_.blocks())) {
    const auto& kernels = dispatch::active<T>();
    const index_t vectors = products_.width() / kernels.lanes, row_tile = kernels.tile_rows[vectors - 1];
    const index_t columns = products_.columns({0, group_blocks_}).size();
    const index_t tile_bytes = 16 * (in.channels + columns) * static_cast<index_t>(sizeof(T));
    tiles_at_once_ = std::max(fewest_tile_rows, block_bytes / tile_bytes / row_tile) * row_tile;
}

template <class T>
index_t WinogradConv2d<T>::scratch_size() const {
    return products_.v_size(tiles_at_once_) + products_.m_size(tiles_at_once_, group_blocks_ * products_.width());
}

template <class T>
bool WinogradConv2d<T>::run_tiles(Range tiles, Range groups, const T* x, const T* bias, Activation activation, T* y,
                                  T* scratch) const {
    const auto& kernels = dispatch::active<T>();
    const TileGrid& grid = products_.grid();
    const Strides out = dense_strides(out_.height, out_.width, out_.channels);
    bool finite = true;
    for (index_t first = tiles.begin; first < tiles.end; first += tiles_at_once_) {
        const Range block{first, std::min(tiles.end, first + tiles_at_once_)};
        T* v = scratch;
        T* m = v + products_.v_size(block.size());
        products_.transform(block, x, v);
        for (index_t group = groups.begin; group < groups.end; ++group) {
            const Range blocks{group * group_blocks_, std::min((group + 1) * group_blocks_, products_.blocks())};
            const Range columns = products_.columns(blocks);
            products_.multiply(block.size(), blocks, v, m);
            grid.for_runs(block, [&](index_t image, index_t row, index_t column, index_t count, index_t before) {
                finite &= kernels.winograd_output(
                    {m + before * columns.size(), position_stride<T>(block.size() * columns.size()), count,
                     columns.size(), bias ? bias + columns.begin : nullptr, activation,
                     y + image * out.image + 2 * row * out.row + 2 * column * out.pixel + columns.begin,
                     std::min<index_t>(2, out_.height - 2 * row), std::min(2 * count, out_.width - 2 * column),
                     out.row, out.pixel});
            });
        }
    }
    return finite;
}

template <class T>
void WinogradConv2d<T>::run(Range rows, const Contraction<T>& direct, const T* x, const T* bias,
                            Activation activation, T* y, T* scratch) const {
    const TileGrid& grid = products_.grid();
    if (run_tiles({rows.begin * grid.columns, rows.end * grid.columns}, {0, groups()}, x, bias, activation, y,
                  scratch))
        return;
    if (rows.size() > 1) {
        for (index_t row = rows.begin; row < rows.end; ++row)
            run({row, row + 1}, direct, x, bias, activation, y, scratch);
        return;
    }
    const index_t image = rows.begin / grid.rows, row = rows.begin % grid.rows * 2;
    direct.run(1, {row, std::min(row + 2, out_.height)}, {0, direct.blocks()},
               x + image * in_.height * in_.width * in_.channels,
               y + image * out_.height * out_.width * out_.channels, 0, bias, activation);
}

template <class T>
bool WinogradConv2d<T>::run_all(index_t batch, const T* x, const T* bias, Activation activation, T* y,
                                int num_threads) const {
    const index_t tiles = batch * products_.grid().per_image(), groups = this->groups();
    const double work = 16 * static_cast<double>(tiles) * static_cast<double>(in_.channels * out_.channels);
    const int threads = runtime::thread_count(tiles * groups, work, num_threads);

    // Blocks of equal size, as many for each thread; where they would be small, groups of columns apart.
    const index_t parts = tiles < threads * tiles_at_once_ / 2 ? std::min<index_t>(threads, groups) : 1;
    const index_t rounds = (tiles * parts + threads * tiles_at_once_ - 1) / (threads * tiles_at_once_);
    const index_t blocks = std::clamp<index_t>(threads * rounds / parts, 1, tiles);

    const index_t thread_size = scratch_size();
    const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * thread_size));
    std::atomic<bool> finite{true};
    runtime::parallel_for(blocks * parts, threads, [&](index_t item, int thread) {
        const auto share = [](index_t length, index_t part, index_t of) {
            const auto [begin, end] = runtime::share(length, static_cast<int>(part), static_cast<int>(of));
            return Range{begin, end};
        };
        if (!run_tiles(share(tiles, item / parts, blocks), share(groups, item % parts, parts), x, bias, activation, y,
                       scratch.data() + thread * thread_size))
            finite = false;
    });
    return finite;
}

template class WinogradConv2d<float>;
template class WinogradConv2d<double>;

}  // namespace fastconv::ops
