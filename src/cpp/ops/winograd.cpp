#include "ops/winograd.hpp"

#include "runtime/parallel.hpp"

namespace fastconv::ops {

template <class T>
void transform_patches(void (*kernel)(const kernels::WinogradInput<T>&), const TileGrid& grid,
                       const TiledImages& images, Range tiles, Range channels, const T* x, T* v) {
    const Strides strides = dense_strides(images.height, images.width, images.channels);
    const index_t position = position_stride<T>(tiles.size() * channels.size());
    grid.for_runs(tiles, [&](index_t image, index_t row, index_t column, index_t count, index_t before) {
        kernel({x + image * strides.image + channels.begin, images.height, images.width, strides.row, strides.pixel,
                images.row + 2 * row, images.column + 2 * column, count, channels.size(),
                v + before * channels.size(), position});
    });
}

template <class T>
TransformedWeights<T>::TransformedWeights(index_t channels, index_t columns, index_t groups, int vectors)
    : channels(channels),
      columns(columns),
      vectors(vectors),
      width(vectors * dispatch::active<T>().lanes),
      position_stride(ops::position_stride<T>(channels * width)),
      block_stride(16 * position_stride),
      group_stride(pieces(columns, width) * block_stride),
      data(static_cast<std::size_t>(groups * group_stride)) {}

namespace {

constexpr index_t slice = 64;  // channels of an item

// 160 cycles for a vector of columns and a channel.
double transform_work(const Conv2dShape& s) { return 16 * static_cast<double>(s.kernel_size()); }

}  // namespace

template <class T>
TransformedWeights<T> TransformedWeights<T>::forward(const Conv2dShape& s, const T* kernel, int vectors,
                                                     int num_threads) {
    const index_t channels = s.group_in_channels(), columns = s.group_out_channels();
    TransformedWeights weights(channels, columns, s.groups, vectors);
    const index_t slices = (channels + slice - 1) / slice, items = s.groups * slices;
    runtime::parallel_for(items, runtime::thread_count(items, transform_work(s), num_threads),
                          [&](index_t item, int) {
                              const index_t group = item / slices, first = item % slices * slice;
                              dispatch::active<T>().winograd_weights(
                                  {kernel + first * s.out_channels + group * columns, channels * s.out_channels,
                                   s.out_channels, std::min(slice, channels - first), columns, weights.width, false,
                                   weights.data.data() + group * weights.group_stride + first * weights.width,
                                   weights.position_stride, weights.block_stride});
                          });
    return weights;
}

template <class T>
TransformedWeights<T> TransformedWeights<T>::transposed(const Conv2dShape& s, const T* kernel, int vectors,
                                                        int num_threads) {
    const index_t channels = s.group_out_channels(), columns = s.group_in_channels();
    TransformedWeights weights(channels, columns, s.groups, vectors);
    const index_t width = weights.width, blocks = (columns + width - 1) / width;
    const index_t slices = (channels + slice - 1) / slice, items = s.groups * blocks * slices;
    const int threads = runtime::thread_count(items, transform_work(s), num_threads);
    const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * 9 * slice * width));
    runtime::parallel_for(items, threads, [&](index_t item, int thread) {
        const auto& kernels = dispatch::active<T>();
        const index_t group = item / slices / blocks, block = item / slices % blocks, column = block * width;
        const index_t used = std::min(width, columns - column);
        const index_t first = item % slices * slice, count = std::min(slice, channels - first);
        T* taps = buffers.data() + thread * 9 * slice * width;
        for (index_t tap = 0; tap < 9; ++tap)
            kernels.transpose(used, count,
                              kernel + (tap * columns + column) * s.out_channels + group * channels + first,
                              s.out_channels, taps + tap * slice * width, width);
        kernels.winograd_weights(
            {taps, slice * width, width, count, used, width, true,
             weights.data.data() + group * weights.group_stride + block * weights.block_stride + first * width,
             weights.position_stride, weights.block_stride});
    });
    return weights;
}

template <class T>
void WinogradProducts<T>::multiply(index_t tiles, index_t group, Range blocks, const T* v, T* m) const {
    static constexpr index_t no_offset[1] = {0};
    const index_t columns = this->columns(blocks).size();
    kernels::BatchReduce<T> product{};
    product.a_row_stride = product.depth = weights_.channels;
    product.a_depth_stride = product.count = 1;
    product.a_offsets = product.b_offsets = no_offset;
    product.b_block_stride = weights_.block_stride;
    product.b_depth_stride = weights_.width;
    product.c_row_stride = product.columns = columns;
    product.rows = tiles;
    product.block_vectors = weights_.vectors;
    product.activation = Activation::linear;
    for (int position = 0; position < 16; ++position) {
        product.a = v + position * position_stride<T>(tiles * weights_.channels);
        product.b =
            weights_.of_group(group) + position * weights_.position_stride + blocks.begin * weights_.block_stride;
        product.c = m + position * position_stride<T>(tiles * columns);
        dispatch::active<T>().batch_reduce(product);
    }
}

#define FASTCONV_INSTANTIATE(T)                                                                                      \
    template void transform_patches(void (*)(const kernels::WinogradInput<T>&), const TileGrid&, const TiledImages&, \
                                    Range, Range, const T*, T*);                                                     \
    template struct TransformedWeights<T>;                                                                           \
    template class WinogradProducts<T>
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
