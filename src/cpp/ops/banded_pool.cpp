#include "ops/banded_pool.hpp"

#include <algorithm>

namespace fastconv::ops {
namespace {

constexpr index_t band_bytes = index_t{256} << 10;

}  // namespace

template <class T>
BandedPool<T>::BandedPool(const Conv2dShape& s, const Pool2dShape& p, const T* kernel, int num_threads)
    : conv_(s),
      pool_(p),
      strips_(p),
      weights_(WeightBlocks<T>::forward(s, kernel), num_threads),
      out_(dense_strides(s.out_height, s.out_width, s.out_channels)) {
    const index_t last_column =
        (p.out_width - 1) * p.stride_width - p.pad_left + (p.pool_width - 1) * p.dilation_width;
    const index_t columns_read = std::min(s.out_width, last_column + 1);
    const Axis rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height, s.pad_top);
    const Axis columns =
        forward_axis(s.in_width, columns_read, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left);
    const Strides in = dense_strides(s.in_height, s.in_width, s.in_channels);
    for (index_t g = 0; g < s.groups; ++g)
        groups_.emplace_back(rows, columns, in, out_, s.group_in_channels(), s.group_out_channels(),
                             weights_.of_group(g), false);
}

template <class T>
index_t BandedPool<T>::rows_at_once() const {
    const index_t row_bytes = out_.row * pool_.stride_height * static_cast<index_t>(sizeof(T));
    return std::clamp<index_t>(band_bytes / std::max<index_t>(1, row_bytes), 1, pool_.out_height);
}

template <class T>
index_t BandedPool<T>::buffer_size(index_t rows) const {
    const index_t read = (rows - 1) * pool_.stride_height + (pool_.pool_height - 1) * pool_.dilation_height + 1;
    return std::min(read, conv_.out_height) * out_.row;
}

template <class T>
Range BandedPool<T>::rows_read(Range pooled) const {
    const index_t first = pooled.begin * pool_.stride_height - pool_.pad_top;
    const index_t last =
        (pooled.end - 1) * pool_.stride_height - pool_.pad_top + (pool_.pool_height - 1) * pool_.dilation_height;
    return {std::max<index_t>(0, first), std::min(pool_.in_height, last + 1)};
}

template <class T>
void BandedPool<T>::run(Range rows, const T* x, const T* bias, Activation activation, T* y, Maxima maxima,
                        T* buffer) const {
    const Range read = rows_read(rows);
    run_groups(groups_, 1, read, x, buffer, read.begin, bias, activation);
    // The strips count rows from the top of the image.
    const T* image = buffer - read.begin * out_.row;
    const auto max_pool = dispatch::active<T>().max_pool;
    for (index_t row = rows.begin; row < rows.end; ++row)
        strips_.for_row(row, image, y, maxima.codes ? nullptr : maxima.argmax, maxima.codes, max_pool);
    if (!maxima.codes) return;

    const index_t width = pool_.out_width * pool_.channels;
    for (index_t i = rows.begin * width; activation == Activation::relu && i < rows.end * width; ++i)
        if (!(y[i] > 0)) maxima.codes[i] = kernels::dead_code;
}

template class BandedPool<float>;
template class BandedPool<double>;

}  // namespace fastconv::ops
