// dW = G^T [sum over tiles of (A g A^T) * (B^T d B)] G (kernels/table.hpp): 16 products that sum over tiles.
//
// An item is a slice of the input channels and one of the output channels, whose 16 sums stay in the cache while a
// chunk of the tiles goes by in blocks: both sides are transformed, then multiplied position by position. Slices,
// chunks and blocks are fixed by the shape, and chunks are added in order: the bits do not depend on the threads.
// Images that go by often are copied first, a slice of their channels after the other.
// A kernel of more taps is the parts that kernel_parts() makes of it, each in items of its own.
// Of few input channels a kernel does all of that but the last transform.
#include "ops/winograd_kernel_gradient.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <vector>

#include "ops/packing.hpp"
#include "ops/reduction.hpp"
#include "ops/streaming.hpp"
#include "ops/winograd.hpp"
#include "ops/winograd_choice.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t slice_bytes = 256;                  // of channels, on both sides
constexpr index_t block_bytes = index_t{512} << 10;   // of transformed tiles: half a second-level cache
constexpr index_t partial_bytes = index_t{32} << 20;  // of all chunks' gradients
constexpr index_t most_items = 32;
// A chunk's sums are transformed back and added to the others': not for less than this.
constexpr index_t blocks_per_chunk = 4, chunks_of_few = 4, fewest_tiles = 64;

// Images are copied that so many slices of the other side need, if they are larger than a second-level cache: runs of
// slice_bytes, a pixel apart, come from memory at a fifth of the speed of what lies in order. ms, as they lie and
// copied (Zen 4, AVX-512, 1 thread and 2):
//
//   28x28 256 -> 512  batch  8   111  91   54 44      14x14 512 -> 512  batch  8   54 45   25 23
//   28x28 512 -> 512  batch  8   211 191  113 99      13x13 256 -> 384  batch 32   83 70   40 35
//   56x56 256 -> 256  batch  8   224 193  117 98      56x56 256 -> 256  batch  1   24 22   11 11
constexpr index_t enough_passes = 4, near_bytes = index_t{1} << 20, most_copied_bytes = index_t{128} << 20;

// Images of one side, of which tiles are transformed slice by slice, each slice for `passes` of the other side's.
template <class T>
class Slices {
  public:
    Slices(const TiledImages& images, index_t batch, index_t groups, const Cut& cut, index_t passes, const T* x,
           int num_threads)
        : images_(images),
          cut_(cut),
          pixels_(batch * images.height * images.width),
          group_channels_(images.channels / groups),
          x_(x) {
        const index_t slices = groups * cut.count, size = slices * pixels_ * cut.piece;
        const index_t bytes = size * static_cast<index_t>(sizeof(T));
        if (slices == 1 || passes < enough_passes || bytes <= near_bytes || bytes > most_copied_bytes) return;
        copy_ = runtime::Buffer<T>(static_cast<std::size_t>(size));
        constexpr index_t piece = 128;
        const index_t items = pieces(pixels_, piece);
        const double work = runtime::work_of_memory * static_cast<double>(size);
        runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
            const index_t first = item * piece, count = std::min(piece, pixels_ - first);
            for (index_t group = 0; group < groups; ++group)
                dispatch::active<T>().pack_panels(
                    count, group_channels_, x + first * images.channels + group * group_channels_, images.channels,
                    cut.piece, copy_.data() + offset(group, 0) + first * cut.piece, pixels_ * cut.piece);
        });
    }

    // Patches (row, column) further on.
    void transform(void (*kernel)(const kernels::WinogradInput<T>&), const TileGrid& grid, Range tiles, index_t group,
                   index_t slice, index_t row, index_t column, T* v) const {
        const Range channels = cut_[slice];
        TiledImages images = images_;
        images.row += row;
        images.column += column;
        if (copy_.data() == nullptr)
            return transform_patches(kernel, grid, images, tiles, shifted(channels, group * group_channels_), x_, v);
        images.channels = cut_.piece;
        transform_patches(kernel, grid, images, tiles, {0, channels.size()}, copy_.data() + offset(group, slice), v);
    }

  private:
    index_t offset(index_t group, index_t slice) const { return (group * cut_.count + slice) * pixels_ * cut_.piece; }

    TiledImages images_;
    Cut cut_;
    index_t pixels_, group_channels_;
    const T* x_;
    runtime::Buffer<T> copy_;
};

// sums[position][channel][filter] of some tiles and filters of few input channels.
template <class T>
void add_few(const Conv2dShape& s, const TileGrid& grid, Range tiles, Range filters, const T* x, const T* grad,
             T* sums, index_t position_stride) {
    const Strides in = dense_strides(s.in_height, s.in_width, s.in_channels);
    const Strides out = dense_strides(s.out_height, s.out_width, s.out_channels);
    std::memset(sums, 0, static_cast<std::size_t>(16 * position_stride) * sizeof(T));
    grid.for_runs(tiles, [&](index_t image, index_t row, index_t column, index_t count, index_t) {
        dispatch::active<T>().winograd_few_gradient(
            {{x + image * in.image, s.in_height, s.in_width, in.row, 2 * row - s.pad_top, 2 * column - s.pad_left,
              count, static_cast<int>(s.in_channels)},
             grad + image * out.image + 2 * row * out.row + 2 * column * out.pixel + filters.begin,
             std::min<index_t>(2, s.out_height - 2 * row),
             std::min(2 * count, s.out_width - 2 * column),
             out.row,
             out.pixel,
             filters.size(),
             sums,
             position_stride});
    });
}

}  // namespace

template <class T>
bool winograd_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads) {
    const bool few = winograd_few_pays<T>(s, Direction::kernel_gradient);  // from images to sums at once
    if (s.batch == 0 || (!few && winograd_outputs<T>(s, Direction::kernel_gradient) == 0)) return false;
    const auto& kernels = dispatch::active<T>();
    const TileGrid grid = TileGrid::of(s.out_height, s.out_width);
    const index_t element = sizeof(T), tiles = s.batch * grid.per_image();

    const index_t group_channels = s.group_in_channels(), group_filters = s.group_out_channels();
    const Cut rows(group_channels, slice_bytes / element, kernels.lanes);
    const Cut columns(group_filters, slice_bytes / element, kernels.lanes);
    const std::vector<KernelPart> parts = kernel_parts(s.kernel_height, s.kernel_width);
    const auto part_count = static_cast<index_t>(parts.size());
    const index_t group_slices = rows.count * columns.count * part_count, slices = s.groups * group_slices;
    const index_t block = std::max<index_t>(1, block_bytes / (16 * (rows.piece + columns.piece) * element));
    const index_t by_work =
        std::max(tiles / (blocks_per_chunk * block), std::min(chunks_of_few, tiles / fewest_tiles));
    const index_t by_memory = partial_bytes / (s.kernel_size() * element);
    const index_t most = std::clamp<index_t>(std::min({by_work, by_memory, most_items / slices}), 1, most_items);
    // A power of two, as many numbers of threads are.
    const Cut chunks(tiles, pieces(tiles, std::bit_floor(static_cast<std::uint64_t>(most))), 1);
    const Cut blocks(chunks.piece, block, 1);

    kernels::BatchReduce<T> product{};
    static constexpr index_t no_offset[1] = {0};
    product.a_row_stride = product.count = 1;
    product.a_offsets = product.b_offsets = no_offset;
    product.activation = Activation::linear;

    const auto size = [&](index_t a, index_t b) { return 16 * position_stride<T>(a * b); };
    const index_t v_size = few ? 0 : size(blocks.piece, rows.piece);
    const index_t g_size = few ? 0 : size(blocks.piece, columns.piece);
    const index_t sums_size = size(rows.piece, columns.piece);
    const index_t taps_size = part_count > 1 ? 9 * rows.piece * columns.piece : 0;
    const index_t thread_size = v_size + g_size + sums_size + taps_size;
    const double work =
        16 * static_cast<double>(tiles * part_count) * static_cast<double>(group_channels * s.out_channels);
    const int threads = runtime::thread_count(chunks.count * slices, work, num_threads);
    const auto buffers = scratch_of_threads<T>(threads, thread_size);
    const runtime::Buffer<T> partials(chunks.count > 1 ? static_cast<std::size_t>(chunks.count * s.kernel_size())
                                                       : 0);
    const bool apart = chunks.count > 1;
    T* partial = apart ? partials.data() : dkernel;
    // Past the caches: what several threads write is read by others, cut otherwise (ops/streaming.hpp). 14x14x256 ->
    // 256 with ReLU of the gradient behind it, 2 threads, ms in the caches and past them: 0.755 0.747; where the
    // threads share no cache 1.10 0.753. Large gradients of one thread, 14x14x512 -> 512: 5.56 5.00.
    const bool large = !apart && s.kernel_size() * element >= streamed_bytes_of_sums;
    const bool stream = vectors_are_lines<T>() && on_a_line(partial) && (threads > 1 || large);

    const Slices<T> inputs({s.in_height, s.in_width, s.in_channels, -s.pad_top, -s.pad_left}, s.batch, s.groups, rows,
                           few ? 0 : columns.count * part_count, x, num_threads);
    const Slices<T> grads({s.out_height, s.out_width, s.out_channels, 0, 0}, s.batch, s.groups, columns,
                          few ? 0 : rows.count * part_count, grad, num_threads);

    std::atomic<bool> finite{true};
    // Threads take turns, where that is even: at the same chunk they read the same images.
    const index_t items = chunks.count * slices, each = items % threads == 0 ? items / threads : items;
    runtime::parallel_for(items, threads, [&](index_t index, int thread) {
        const index_t item = index % each * (items / each) + index / each;
        T* v = buffers.data() + thread * thread_size;
        T* g = v + v_size;
        T* sums = g + g_size;
        const index_t chunk_index = item / slices;
        const Range chunk = chunks[chunk_index];
        const index_t group = item % slices / group_slices;
        const index_t column = item % columns.count, row = item / columns.count % rows.count;
        const KernelPart& part = parts[static_cast<std::size_t>(item % group_slices / columns.count / rows.count)];
        const Range channels = rows[row], filters = shifted(columns[column], group * group_filters);
        const index_t sums_position = position_stride<T>(channels.size() * filters.size());

        if (few) add_few(s, grid, chunk, filters, x, grad, sums, sums_position);
        kernels::BatchReduce<T> op = product;
        op.rows = op.a_depth_stride = channels.size();
        op.columns = op.c_row_stride = op.b_depth_stride = filters.size();
        op.block_vectors = block_vectors<T>(filters.size());
        op.b_block_stride = op.block_vectors * kernels.lanes;
        for (index_t first = chunk.begin; !few && first < chunk.end; first += blocks.piece) {
            const Range some{first, std::min(chunk.end, first + blocks.piece)};
            inputs.transform(kernels.winograd_2x2.input, grid, some, group, row, part.row, part.column, v);
            grads.transform(kernels.winograd_gradient, grid, some, group, column, 0, 0, g);
            op.depth = some.size();
            op.accumulate = first > chunk.begin;
            for (index_t position = 0; position < 16; ++position) {
                op.c = sums + position * sums_position;
                if (!part.has(position, 4)) {  // of no tap: zero, for what is not finite is looked for in all
                    std::fill_n(op.c, op.rows * op.columns, T(0));
                    continue;
                }
                op.a = v + position * position_stride<T>(some.size() * channels.size());
                op.b = g + position * position_stride<T>(some.size() * filters.size());
                kernels.batch_reduce(op);
            }
        }
        T* const dw = partial + chunk_index * s.kernel_size() +
                      ((part.row * s.kernel_width + part.column) * group_channels + channels.begin) * s.out_channels +
                      filters.begin;
        const index_t tap = group_channels * s.out_channels;
        if (part_count == 1) {
            if (!kernels.winograd_kernel(
                    {sums, sums_position, channels.size(), filters.size(), dw, tap, s.out_channels, stream}))
                finite = false;
            return;
        }
        T* const taps = sums + sums_size;
        const index_t taken = channels.size() * filters.size();
        if (!kernels.winograd_kernel(
                {sums, sums_position, channels.size(), filters.size(), taps, taken, filters.size(), false}))
            finite = false;
        for (index_t i = 0; i < part.rows; ++i)
            for (index_t j = 0; j < part.columns; ++j)
                for (index_t c = 0; c < channels.size(); ++c)
                    std::memcpy(dw + (i * s.kernel_width + j) * tap + c * s.out_channels,
                                taps + (3 * i + j) * taken + c * filters.size(),
                                static_cast<std::size_t>(filters.size()) * sizeof(T));
    });
    if (!apart) return finite;
    return add_finite_partials(chunks.count, s.kernel_size(), s.kernel_size(), partial, dkernel, num_threads);
}

template bool winograd_kernel_gradient(const Conv2dShape&, const float*, const float*, float*, int);
template bool winograd_kernel_gradient(const Conv2dShape&, const double*, const double*, double*, int);

}  // namespace fastconv::ops
