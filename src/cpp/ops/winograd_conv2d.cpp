#include "ops/winograd_conv2d.hpp"

#include <algorithm>
#include <atomic>

#include "ops/packing.hpp"
#include "ops/streaming.hpp"
#include "ops/winograd_choice.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t block_bytes = index_t{512} << 10;  // of transformed inputs and products: half a second-level cache
constexpr index_t slice_bytes = 256;                 // columns of a slice: wide enough to read inputs seldom
constexpr index_t fewest_tile_rows = 4;              // of BatchReduce, so that weights are read seldom
constexpr index_t slice_cache_bytes = index_t{768} << 10;  // of a slice's transformed weights and products
constexpr index_t far_bytes = index_t{8} << 20;  // of transformed weights: hardly in the caches when they are read

template <class T>
const kernels::WinogradTransforms<T>& transforms_of(index_t outputs) {
    const auto& kernels = dispatch::active<T>();
    return outputs == kernels.winograd_4x4.outputs ? kernels.winograd_4x4 : kernels.winograd_2x2;
}

}  // namespace

template <class T>
std::optional<WinogradConv2d<T>> WinogradConv2d<T>::forward(const Conv2dShape& s, const T* kernel) {
    const TiledImages in{s.in_height, s.in_width, s.in_channels, -s.pad_top, -s.pad_left};
    const TiledImages out{s.out_height, s.out_width, s.out_channels, 0, 0};
    const bool few = winograd_few_pays<T>(s, Direction::forward);
    const index_t outputs = few ? 2 : winograd_outputs<T>(s, Direction::forward);
    if (outputs == 0) return {};
    const int vectors = few ? 1 : block_vectors<T>(s.group_out_channels());
    return WinogradConv2d(TileGrid::of(s.out_height, s.out_width, outputs), in, out, s.groups, few,
                          TransformedWeights<T>(s, kernel, Direction::forward, vectors, transforms_of<T>(outputs)));
}

template <class T>
std::optional<WinogradConv2d<T>> WinogradConv2d<T>::input_gradient(const Conv2dShape& s, const T* kernel) {
    const TiledImages in{s.out_height, s.out_width, s.out_channels, s.pad_top - s.kernel_height + 1,
                         s.pad_left - s.kernel_width + 1};
    const TiledImages out{s.in_height, s.in_width, s.in_channels, 0, 0};
    const index_t outputs = winograd_outputs<T>(s, Direction::input_gradient);
    if (outputs == 0) return {};
    const int vectors = block_vectors<T>(s.group_in_channels());
    return WinogradConv2d(
        TileGrid::of(s.in_height, s.in_width, outputs), in, out, s.groups, false,
        TransformedWeights<T>(s, kernel, Direction::input_gradient, vectors, transforms_of<T>(outputs)));
}

template <class T>
WinogradConv2d<T>::WinogradConv2d(const TileGrid& grid, const TiledImages& in, const TiledImages& out, index_t groups,
                                  bool few, TransformedWeights<T> weights)
    : in_(in),
      out_(out),
      products_(grid, in, std::move(weights)),
      groups_(groups),
      few_(few),
      slice_blocks_(few_ ? products_.blocks()
                         : std::clamp<index_t>(slice_bytes / (products_.width() * static_cast<index_t>(sizeof(T))), 1,
                                               products_.blocks())) {
    const auto& kernels = dispatch::active<T>();
    const index_t vectors = products_.width() / kernels.lanes, row_tile = kernels.tile_rows[vectors - 1];
    const index_t columns = products_.columns({0, slice_blocks_}).size();
    const TransformedWeights<T>& u = products_.weights();
    const index_t tile_size =
        few_ ? 4 * (in.channels + columns) : u.positions() * (u.all_parts().size() * u.channels + columns);
    const index_t tile_bytes = tile_size * static_cast<index_t>(sizeof(T));
    tiles_at_once_ = std::max(fewest_tile_rows, block_bytes / tile_bytes / row_tile) * row_tile;
}

template <class T>
index_t WinogradConv2d<T>::scratch_size() const {
    return few_ ? 0
                : products_.weights().all_parts().size() *
                          products_.v_size(tiles_at_once_, products_.weights().channels) +
                      slice_products_size(tiles_at_once_);
}

template <class T>
bool WinogradConv2d<T>::write_slice(Range tiles, index_t slice, const T* m, const T* bias, Activation activation,
                                    T* y) const {
    const TileGrid& grid = products_.grid();
    const Strides out = dense_strides(out_.height, out_.width, out_.channels);
    const Range columns = shifted(products_.columns(blocks(slice)), group(slice) * (out_.channels / groups_));
    const index_t position = position_stride<T>(tiles.size() * columns.size());
    bool finite = true;
    grid.for_runs(tiles, [&](index_t image, index_t tile_row, index_t tile, index_t count, index_t before) {
        const index_t row = tile_row * grid.outputs, column = tile * grid.outputs;
        finite &= products_.weights().transforms.output(
            {m + before * columns.size(), position, count, columns.size(), bias ? bias + columns.begin : nullptr,
             activation, y + image * out.image + row * out.row + column * out.pixel + columns.begin,
             std::min(grid.outputs, out_.height - row), std::min(grid.outputs * count, out_.width - column), out.row,
             out.pixel});
    });
    return finite;
}

template <class T>
bool WinogradConv2d<T>::run_tiles(Range tiles, Range slices, const T* x, const T* bias, Activation activation, T* y,
                                  T* scratch, int thread, bool stream) const {
    if (few_) return run_few(tiles, x, bias, activation, y, thread, stream);
    bool finite = true;
    for (index_t first = tiles.begin; first < tiles.end; first += tiles_at_once_) {
        const Range block{first, std::min(tiles.end, first + tiles_at_once_)};
        const index_t channels = products_.weights().channels;
        const Range parts = products_.weights().all_parts();
        T* m = scratch + parts.size() * products_.v_size(block.size(), channels);
        for (index_t slice = slices.begin; slice < slices.end; ++slice) {
            if (slice == slices.begin || group(slice) != group(slice - 1))
                products_.transform(block, group(slice), parts, {0, channels}, x, scratch);
            products_.multiply(block.size(), products_.weights().of_blocks(group(slice), blocks(slice), thread),
                               columns_of(slice), scratch, m);
            finite &= write_slice(block, slice, m, bias, activation, y);
        }
    }
    return finite;
}

// Each slice of the weights is transformed, some channels at a time, by the thread that multiplies with it: they come
// from memory once and, transformed, stay in its second-level cache. Patches are transformed by each thread for
// itself: shared, those of 14x14x256 took two threads 40 us instead of 50, but 200 where these had no cache in
// common. One image, 2x2 tiles, ms with all weights transformed first and by slice (Zen 4, AVX-512; 1 thread and 2):
//
//   14x14 128 -> 128   0.27 0.28   0.24 0.17        7x7 512 -> 512   2.56 2.10   1.26 1.11
//   14x14 256 -> 256   1.06 1.14   0.71 0.61      14x14 512 -> 512   5.17 5.33   2.71 2.55
template <class T>
bool WinogradConv2d<T>::run_by_slice(index_t tiles, const T* x, const T* bias, Activation activation, T* y,
                                     int threads) const {
    const TransformedWeights<T>& weights = products_.weights();
    const index_t channel_size = weights.positions() * slice_blocks_ * weights.width;
    const index_t by_cache =
        (slice_cache_bytes / static_cast<index_t>(sizeof(T)) - slice_products_size(tiles)) / channel_size;
    const Cut cut(weights.channels, by_cache, weights.channels_at_once);
    const index_t group_items = weights.all_parts().size() * cut.count;
    const index_t v_size = products_.v_size(tiles, cut.piece), all_v_size = groups_ * group_items * v_size;
    const index_t weights_size = weights.scratch_size(slice_blocks_, cut.piece);
    const index_t thread_size = all_v_size + weights_size + slice_products_size(tiles);
    const auto scratch = scratch_of_threads<T>(threads, thread_size);
    std::vector<std::uint8_t> is_transformed(static_cast<std::size_t>(threads * groups_));
    std::atomic<bool> finite{true};
    runtime::parallel_for(slices(), threads, [&](index_t slice, int thread) {
        const index_t group = this->group(slice);
        T* const v = scratch.data() + thread * thread_size;
        T* const u = v + all_v_size;
        T* const m = u + weights_size;
        std::uint8_t& done = is_transformed[static_cast<std::size_t>(thread * groups_ + group)];
        for (index_t i = 0; i < group_items; ++i) {
            const index_t part = i / cut.count;
            const Range some = cut[i % cut.count];
            T* const some_v = v + (group * group_items + i) * v_size;
            if (!done) products_.transform({0, tiles}, group, {part, part + 1}, some, x, some_v);
            products_.multiply(tiles, weights.transform(group, blocks(slice), part, some, u), columns_of(slice),
                               some_v, m);
        }
        done = 1;
        if (!write_slice({0, tiles}, slice, m, bias, activation, y)) finite = false;
    });
    return finite;
}

template <class T>
bool WinogradConv2d<T>::run_few(Range tiles, const T* x, const T* bias, Activation activation, T* y, int thread,
                                bool stream) const {
    const WeightsView<T> weights = products_.weights().of_blocks(0, {0, products_.blocks()}, thread);
    const Strides in = dense_strides(in_.height, in_.width, in_.channels);
    const Strides out = dense_strides(out_.height, out_.width, out_.channels);
    bool finite = true;
    products_.grid().for_runs(tiles, [&](index_t image, index_t row, index_t column, index_t count, index_t) {
        finite &= dispatch::active<T>().winograd_few_output(
            {{{x + image * in.image, in_.height, in_.width, in.row, in_.row + 2 * row, in_.column + 2 * column, count,
               static_cast<int>(in_.channels)},
              weights.data,
              weights.position_stride,
              weights.block_stride,
              out_.channels,
              bias,
              activation},
             y + image * out.image + 2 * row * out.row + 2 * column * out.pixel,
             std::min<index_t>(2, out_.height - 2 * row),
             std::min(2 * count, out_.width - 2 * column),
             out.row,
             out.pixel,
             stream});
    });
    return finite;
}

template <class T>
void WinogradConv2d<T>::run(Range rows, const std::vector<Contraction<T>>& direct, const T* x, const T* bias,
                            Activation activation, T* y, T* scratch) const {
    const TileGrid& grid = products_.grid();
    if (run_tiles({rows.begin * grid.columns, rows.end * grid.columns}, {0, slices()}, x, bias, activation, y,
                  scratch, 0))
        return;
    if (rows.size() > 1) {
        for (index_t row = rows.begin; row < rows.end; ++row)
            run({row, row + 1}, direct, x, bias, activation, y, scratch);
        return;
    }
    const index_t image = rows.begin / grid.rows, row = rows.begin % grid.rows * grid.outputs;
    run_groups(direct, 1, {row, std::min(row + grid.outputs, out_.height)},
               x + image * in_.height * in_.width * in_.channels,
               y + image * out_.height * out_.width * out_.channels, 0, bias, activation);
}

template <class T>
bool WinogradConv2d<T>::run_all(index_t batch, const T* x, const T* bias, Activation activation, T* y,
                                int num_threads) {
    const index_t tiles = batch * products_.grid().per_image(), slices = this->slices(), element = sizeof(T);
    const index_t positions = products_.weights().all_parts().size() * products_.weights().positions();
    const double work =
        static_cast<double>(positions * tiles) * static_cast<double>(in_.channels * out_.channels / groups_);
    const int threads = runtime::thread_count(tiles * slices, work, num_threads);

    const bool even = slices % threads == 0 || slices >= 4 * threads;
    const bool pays = threads > 1 || products_.weights().size() * element > far_bytes;
    if (!few_ && even && pays && slice_products_size(tiles) * element <= block_bytes)
        return run_by_slice(tiles, x, bias, activation, y, threads);
    products_.prepare_each(threads);

    // Blocks of equal size, as many for each thread; where they would be small, slices of columns apart.
    const index_t parts = tiles < threads * tiles_at_once_ / 2 ? std::min<index_t>(threads, slices) : 1;
    const index_t rounds = (tiles * parts + threads * tiles_at_once_ - 1) / (threads * tiles_at_once_);
    const index_t blocks = std::clamp<index_t>(threads * rounds / parts, 1, tiles);

    const index_t thread_size = scratch_size();
    const auto scratch = few_ ? runtime::Buffer<T>() : scratch_of_threads<T>(threads, thread_size);
    const bool stream = few_ && products_.width() * element == stream_line &&
                        streams(y, batch * out_.height * out_.width * out_.channels * element, streamed_bytes_of_few);
    std::atomic<bool> finite{true};
    runtime::parallel_for(blocks * parts, threads, [&](index_t item, int thread) {
        if (!run_tiles(equal_part(tiles, item / parts, blocks), equal_part(slices, item % parts, parts), x, bias,
                       activation, y, scratch.data() + thread * thread_size, thread, stream))
            finite = false;
    });
    return finite;
}

template <class T>
bool WinogradConv2d<T>::run_turned(index_t batch, const T* x, const T* bias, Activation activation, T* y,
                                   int num_threads) {
    if (!few_) return false;
    // Bands of an image that stay in the cache, and turned from there to y.
    constexpr index_t bank_bytes = index_t{256} << 10;
    const TileGrid& grid = products_.grid();
    const index_t row = out_.width * out_.channels, plane = out_.height * out_.width;
    const index_t band = std::clamp<index_t>(bank_bytes / (2 * row * index_t{sizeof(T)}), 1, grid.rows);
    const index_t bands = pieces(grid.rows, band), bank_size = 2 * band * row;
    const double work = 16 * static_cast<double>(batch * grid.per_image() * in_.channels * out_.channels);
    const int threads = runtime::thread_count(batch * bands, work, num_threads);
    products_.prepare_each(threads);
    const runtime::Buffer<T> banks(static_cast<std::size_t>(threads * bank_size));
    std::atomic<bool> finite{true};
    runtime::parallel_for(batch * bands, threads, [&](index_t item, int thread) {
        const index_t image = item / bands, first = item % bands * band, last = std::min(grid.rows, first + band);
        const index_t top = image * grid.rows, begin = 2 * first, end = std::min(out_.height, 2 * last);
        T* const bank = banks.data() + thread * bank_size;
        const Range tiles{(top + first) * grid.columns, (top + last) * grid.columns};
        if (!run_few(tiles, x, bias, activation, bank - (image * out_.height + begin) * row, thread, false))
            finite = false;
        dispatch::active<T>().transpose((end - begin) * out_.width, out_.channels, bank, out_.channels,
                                        y + image * out_.channels * plane + begin * out_.width, plane);
    });
    return finite;
}

template class WinogradConv2d<float>;
template class WinogradConv2d<double>;

}  // namespace fastconv::ops
