#include "ops/winograd.hpp"

#include <algorithm>

#include "ops/streaming.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// Of weights that each thread transforms for itself: what a second-level cache holds. 128 KB take 2 us, 1 MB 30;
// from another processor's cache they took 10 to 50. us, 2 threads, forward: 13x13 32 -> 64, one image, 34 -> 25 (1
// thread 31); 13x13 64 -> 64 62 -> 40 (57), batch 8 256 -> 226; 28x28 64 -> 64 177 -> 154 (266); 14x14 96 -> 96,
// batch 8, 680 -> 640; 28x28 128 -> 128 584 -> 549; 13x13 32 -> 64 with pool, batch 128, 1060 -> 1030 or 1037 ->
// 1026.
constexpr index_t copied_bytes = index_t{1088} << 10;

}  // namespace

std::vector<KernelPart> kernel_parts(index_t height, index_t width) {
    std::vector<KernelPart> parts;
    for (index_t row = 0; row < height; row += 3)
        for (index_t column = 0; column < width; column += 3)
            parts.push_back({row, column, std::min<index_t>(3, height - row), std::min<index_t>(3, width - column)});
    return parts;
}

template <class T>
void transform_patches(void (*kernel)(const kernels::WinogradInput<T>&), const TileGrid& grid,
                       const TiledImages& images, Range tiles, Range channels, const T* x, T* v) {
    const Strides strides = dense_strides(images.height, images.width, images.channels);
    const index_t position = position_stride<T>(tiles.size() * channels.size());
    grid.for_runs(tiles, [&](index_t image, index_t row, index_t column, index_t count, index_t before) {
        kernel({x + image * strides.image + channels.begin, images.height, images.width, strides.row, strides.pixel,
                images.row + grid.outputs * row, images.column + grid.outputs * column, count, channels.size(),
                v + before * channels.size(), position});
    });
}

template <class T>
TransformedWeights<T>::TransformedWeights(const Conv2dShape& s, const T* kernel, Direction direction, int vectors,
                                          const Transforms& transforms)
    : parts(kernel_parts(s.kernel_height, s.kernel_width)),
      transforms(transforms),
      channels(direction == Direction::forward ? s.group_in_channels() : s.group_out_channels()),
      columns(direction == Direction::forward ? s.group_out_channels() : s.group_in_channels()),
      vectors(vectors),
      width(vectors * dispatch::active<T>().lanes),
      kernel_(kernel),
      kernel_height_(s.kernel_height),
      kernel_width_(s.kernel_width),
      groups_(s.groups),
      out_channels_(s.out_channels),
      transposed_(direction == Direction::input_gradient),
      position_stride_(ops::position_stride<T>(channels * width)),
      block_stride_(all_parts().size() * positions() * position_stride_),
      group_stride_(pieces(columns, width) * block_stride_) {}

template <class T>
void TransformedWeights<T>::transform_item(index_t item, T* u, T* taps, bool stream) const {
    const index_t runs = pieces(channels, channels_at_once);
    const index_t group = item / runs / slices(), slice = item / runs % slices();
    const index_t first = item % runs * channels_at_once;
    const Range blocks = transposed_ ? Range{slice, slice + 1} : Range{0, pieces(columns, width)};
    transform(group, blocks, all_parts(), {first, std::min(first + channels_at_once, channels)},
              u + group * group_stride_ + blocks.begin * block_stride_ + first * width, position_stride_,
              block_stride_, taps, stream);
}

template <class T>
void TransformedWeights<T>::prepare(int num_threads) {
    if (data_.data() != nullptr && is_done_.empty()) return;
    runtime::Buffer<T> all(static_cast<std::size_t>(size()));
    // A vector of columns and a channel take 60 cycles in the cache, 200 from memory.
    const double work =
        9 * static_cast<double>(all_parts().size() * positions() * channels) * static_cast<double>(columns * groups_);
    const int threads = runtime::thread_count(items(), work, num_threads);
    const bool stream = streams_to_others<T>(threads);
    const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * taps_size()));
    runtime::parallel_for(items(), threads, [&](index_t item, int thread) {
        transform_item(item, all.data(), buffers.data() + thread * taps_size(), stream);
    });
    data_ = std::move(all);
    is_done_.clear();
}

template <class T>
void TransformedWeights<T>::prepare_each(int threads) {
    const auto copies = static_cast<std::size_t>(threads);
    if (threads == 1 || size() * static_cast<index_t>(sizeof(T)) > copied_bytes) return prepare(threads);
    if (data_.data() != nullptr && (is_done_.empty() || is_done_.size() >= copies)) return;
    std::vector<std::uint8_t> is_done(copies);
    data_ = runtime::Buffer<T>(static_cast<std::size_t>(threads * copy_size()));
    is_done_ = std::move(is_done);
}

template <class T>
const T* TransformedWeights<T>::data_of(int thread) const {
    if (is_done_.empty()) return data_.data();
    T* const copy = data_.data() + thread * copy_size();
    std::uint8_t& done = is_done_[static_cast<std::size_t>(thread)];
    if (done) return copy;
    for (index_t item = 0; item < items(); ++item) transform_item(item, copy, copy + size(), false);
    done = 1;
    return copy;
}

template <class T>
WeightsView<T> TransformedWeights<T>::transform(index_t group, Range blocks, index_t part, Range some,
                                                T* scratch) const {
    const index_t position = ops::position_stride<T>(some.size() * width), block = positions() * position;
    const Range one{part, part + 1};
    for (index_t first = some.begin; first < some.end; first += channels_at_once)
        transform(group, blocks, one, {first, std::min(first + channels_at_once, some.end)},
                  scratch + (first - some.begin) * width, position, block, scratch + blocks.size() * block, false);
    return {scratch, position, block, one, some};
}

template <class T>
void TransformedWeights<T>::transform(index_t group, Range blocks, Range some_parts, Range some, T* u,
                                      index_t position_stride, index_t block_stride, T* taps, bool stream) const {
    if (!transposed_ && parts.size() == 1 && blocks.size() * width >= columns)
        return transforms.weights({kernel_ + some.begin * out_channels_ + group * columns, channels * out_channels_,
                                   out_channels_, some.size(), columns, width, false, u, position_stride,
                                   block_stride, stream});
    // Pieces of rows are brought together first, tap by tap: nine at a time lie at distances that share sets of
    // caches.
    for (index_t block = blocks.begin; block < blocks.end; ++block) {
        const Range used{block * width, std::min((block + 1) * width, columns)};
        for (index_t part = some_parts.begin; part < some_parts.end; ++part, u += positions() * position_stride) {
            take_taps(parts[static_cast<std::size_t>(part)], group, used, some, taps);
            transforms.weights({taps, channels_at_once * width, width, some.size(), used.size(), width, transposed_,
                                u, position_stride, block_stride, stream});
        }
    }
}

// [tap][channel][width], zero beyond a part of fewer than 3x3.
template <class T>
void TransformedWeights<T>::take_taps(const KernelPart& part, index_t group, Range used, Range some, T* taps) const {
    const auto& kernels = dispatch::active<T>();
    for (index_t tap = 0; tap < 9; ++tap, taps += channels_at_once * width) {
        const index_t row = tap / 3, column = tap % 3;
        const index_t r = transposed_ ? kernel_height_ - 3 - part.row + row : part.row + row;
        const index_t t = transposed_ ? kernel_width_ - 3 - part.column + column : part.column + column;
        const index_t at = r * kernel_width_ + t;
        if (r < 0 || r >= kernel_height_ || t < 0 || t >= kernel_width_)
            std::fill_n(taps, some.size() * width, T(0));
        else if (transposed_)
            kernels.transpose(used.size(), some.size(),
                              kernel_ + (at * columns + used.begin) * out_channels_ + group * channels + some.begin,
                              out_channels_, taps, width);
        else
            kernels.pack_panels(some.size(), used.size(),
                                kernel_ + (at * channels + some.begin) * out_channels_ + group * columns + used.begin,
                                out_channels_, width, taps, 0);
    }
}

template <class T>
void WinogradProducts<T>::multiply(index_t tiles, const WeightsView<T>& weights, index_t columns, const T* v,
                                   T* m) const {
    index_t v_offsets[most_kernel_parts], weight_offsets[most_kernel_parts];
    kernels::BatchReduce<T> product{};
    product.a_row_stride = product.depth = weights.channels.size();
    product.a_depth_stride = 1;
    product.a_offsets = v_offsets;
    product.b_offsets = weight_offsets;
    product.b_block_stride = weights.block_stride;
    product.b_depth_stride = weights_.width;
    product.c_row_stride = product.columns = columns;
    product.rows = tiles;
    product.block_vectors = weights_.vectors;
    product.activation = Activation::linear;
    const index_t v_part = v_size(tiles, product.depth), u_part = weights_.positions() * weights.position_stride;
    for (index_t position = 0; position < weights_.positions(); ++position) {
        product.count = 0;
        for (index_t part = 0; part < weights.parts.size(); ++part) {
            const KernelPart& taps = weights_.parts[static_cast<std::size_t>(weights.parts.begin + part)];
            if (!taps.has(position, weights_.transforms.outputs + 2)) continue;
            v_offsets[product.count] = part * v_part;
            weight_offsets[product.count++] = part * u_part;
        }
        if (product.count == 0) continue;
        product.a = v + position * position_stride<T>(tiles * product.depth);
        product.b = weights.data + position * weights.position_stride;
        product.c = m + position * position_stride<T>(tiles * columns);
        if (weights.parts.begin > 0 || weights.channels.begin > 0) product.start = product.c;
        dispatch::active<T>().batch_reduce(product);
    }
}

#define FASTCONV_INSTANTIATE(T)                                                                                      \
    template void transform_patches(void (*)(const kernels::WinogradInput<T>&), const TileGrid&, const TiledImages&, \
                                    Range, Range, const T*, T*);                                                     \
    template class TransformedWeights<T>;                                                                            \
    template class WinogradProducts<T>
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
