#include "ops/packing.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

template <class T>
TapWeights<T> packed_layout(const T* data, index_t tap_rows, index_t tap_columns, index_t depth, int vectors,
                            bool by_kernel_index) {
    const index_t width = vectors * dispatch::active<T>().lanes;
    return {data,
            tap_rows * tap_columns * depth * width,
            tap_columns * depth * width,
            depth * width,
            width,
            vectors,
            by_kernel_index};
}

}  // namespace

template <class T>
int block_vectors(index_t columns) {
    const auto& kernels = dispatch::active<T>();
    const index_t vectors = std::max<index_t>(1, (columns + kernels.lanes - 1) / kernels.lanes);
    const index_t blocks = (vectors + kernels.block_vectors - 1) / kernels.block_vectors;
    return static_cast<int>((vectors + blocks - 1) / blocks);
}

template <class T>
PackedWeights<T> PackedWeights<T>::forward(const Conv2dShape& s, const T* kernel, int num_threads) {
    const index_t depth = s.group_in_channels(), columns = s.group_out_channels();
    const int vectors = block_vectors<T>(columns);
    PackedWeights packed;
    packed.layout_ = packed_layout(kernel, s.kernel_height, s.kernel_width, depth, vectors, true);
    const index_t width = packed.layout_.tap_column_stride / std::max<index_t>(1, depth);
    if (columns == width && s.groups == 1) return packed;

    const index_t rows = s.kernel_height * s.kernel_width * depth;
    const index_t blocks = (columns + width - 1) / width;
    packed.group_stride_ = blocks * rows * width;
    packed.buffer_ = runtime::Buffer<T>(static_cast<std::size_t>(s.groups * packed.group_stride_));
    packed.layout_.data = packed.buffer_.data();
    const index_t items = s.groups * blocks;
    const double work = static_cast<double>(s.kernel_size()) / 4;
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t group = item / blocks, first = item % blocks * width;
        const std::size_t count = static_cast<std::size_t>(std::min(width, columns - first));
        const T* in = kernel + group * columns + first;
        T* out = packed.buffer_.data() + item * rows * width;
        for (index_t row = 0; row < rows; ++row, in += s.out_channels, out += width) {
            std::memcpy(out, in, count * sizeof(T));
            std::memset(out + count, 0, (static_cast<std::size_t>(width) - count) * sizeof(T));
        }
    });
    return packed;
}

template <class T>
PackedWeights<T> PackedWeights<T>::transposed(const Conv2dShape& s, const Axis& row_axis, const Axis& column_axis,
                                              const T* kernel, int num_threads) {
    const index_t depth = s.group_out_channels(), columns = s.group_in_channels();
    const index_t tap_rows = static_cast<index_t>(row_axis.taps.size());
    const index_t tap_columns = static_cast<index_t>(column_axis.taps.size());
    const int vectors = block_vectors<T>(columns);
    const index_t width = vectors * dispatch::active<T>().lanes;
    const index_t blocks = (columns + width - 1) / width;
    PackedWeights packed;
    packed.group_stride_ = blocks * tap_rows * tap_columns * depth * width;
    packed.buffer_ = runtime::Buffer<T>(static_cast<std::size_t>(s.groups * packed.group_stride_));
    packed.layout_ = packed_layout<T>(packed.buffer_.data(), tap_rows, tap_columns, depth, vectors, false);

    const index_t items = s.groups * blocks * tap_rows * tap_columns;
    const double work = static_cast<double>(items * depth * width) / 2;
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t j = item % tap_columns, i = item / tap_columns % tap_rows;
        const index_t block = item / tap_columns / tap_rows % blocks;
        const index_t group = item / tap_columns / tap_rows / blocks;
        const index_t tap = row_axis.taps[static_cast<std::size_t>(i)].kernel_index * s.kernel_width +
                            column_axis.taps[static_cast<std::size_t>(j)].kernel_index;
        const index_t first = block * width, count = std::min(width, columns - first);
        const T* in = kernel + (tap * columns + first) * s.out_channels + group * depth;
        T* out = packed.buffer_.data() + item * depth * width;
        dispatch::active<T>().transpose(count, depth, in, s.out_channels, out, width);
        for (index_t k = 0; k < depth; ++k)
            for (index_t c = count; c < width; ++c) out[k * width + c] = T(0);
    });
    return packed;
}

template <class T>
PackedWeights<T> PackedWeights<T>::diagonal(const Conv2dShape& s, const T* kernel) {
    PackedWeights packed;
    const int vectors = dispatch::active<T>().block_vectors;
    packed.layout_ = {
        kernel, vectors * dispatch::active<T>().lanes, s.kernel_width * s.in_channels, s.in_channels, 0, vectors,
        true};
    return packed;
}

template int block_vectors<float>(index_t);
template int block_vectors<double>(index_t);
template class PackedWeights<float>;
template class PackedWeights<double>;

}  // namespace fastconv::ops
