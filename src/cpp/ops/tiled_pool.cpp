#include "ops/tiled_pool.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "dispatch/kernels.hpp"
#include "ops/packing.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t scratch_bytes = index_t{384} << 10;
constexpr index_t most_direct_channels = 4;  // above, the transforms of Winograd pay, or a plain product is as good

// Narrower blocks of output channels where there are too few rows of windows for every thread to have some.
int vectors_for(int vectors, const Conv2dShape& s, const Pool2dShape& p, int num_threads) {
    const index_t rows = s.batch * p.out_height;
    const int threads = runtime::thread_count(rows * vectors, s.multiplications(), num_threads);
    return s.batch < threads && vectors % 2 == 0 ? vectors / 2 : vectors;
}

}  // namespace

template <class T>
std::optional<TiledPool<T>> TiledPool<T>::make(const Conv2dShape& s, const Pool2dShape& p, const T* kernel,
                                               const T* bias, int num_threads) {
    const index_t lanes = dispatch::active<T>().lanes;
    if (!has_codes(s, p) || s.out_channels % lanes != 0) return {};
    if (s.in_channels >= 1 && s.in_channels <= most_direct_channels)
        return TiledPool(Method::direct, s, p, kernel, bias, num_threads);
    const bool transformable = s.kernel_height == 3 && s.kernel_width == 3 && s.in_channels % lanes == 0;
    if (transformable && s.in_channels > 0 && runtime::precision() != runtime::Precision::strict)
        return TiledPool(Method::winograd, s, p, kernel, bias, num_threads);
    return {};
}

template <class T>
TiledPool<T>::TiledPool(Method method, const Conv2dShape& s, const Pool2dShape& p, const T* kernel, const T* bias,
                        int num_threads)
    : method_(method),
      conv_(s),
      windows_per_row_(p.out_width),
      padded_width_(s.in_width + s.pad_left + s.pad_right),
      padded_(s.pad_top + s.pad_bottom + s.pad_left + s.pad_right > 0),
      kernel_(kernel),
      block_vectors_(vectors_for(block_vectors<T>(s.out_channels), s, p, num_threads)),
      width_(block_vectors_ * dispatch::active<T>().lanes),
      blocks_((s.out_channels + width_ - 1) / width_),
      bias_(static_cast<std::size_t>(s.out_channels)) {
    const auto& kernels = dispatch::active<T>();
    if (bias)
        std::memcpy(bias_.data(), bias, static_cast<std::size_t>(s.out_channels) * sizeof(T));
    else
        std::fill_n(bias_.data(), s.out_channels, T(0));

    // |sum| <= products * |x| * |w| + |bias|; Winograd's intermediate values are at most 16 times as large.
    const T products = static_cast<T>(s.kernel_height * s.kernel_width * s.in_channels) * 16;
    const T largest = std::numeric_limits<T>::max() / 16;
    const T weight = kernels.largest_magnitude(s.kernel_size(), kernel);
    const bool safe = kernels.largest_magnitude(s.out_channels, bias_.data()) < largest && weight < largest;
    safe_magnitude_ = safe ? std::min(largest, largest / std::max(T(1), products * weight)) : T(-1);

    if (method != Method::winograd) return;
    const index_t tap = s.in_channels * s.out_channels, position = blocks_ * s.in_channels * width_;
    transformed_ = runtime::Buffer<T>(static_cast<std::size_t>(16 * position));
    kernels.winograd_weights(
        {kernel, tap, s.out_channels, s.in_channels, s.out_channels, width_, false, transformed_.data(), position});
}

template <class T>
index_t TiledPool<T>::rows_at_once() const {
    const index_t tile =
        method_ == Method::winograd ? 16 * (conv_.in_channels + conv_.out_channels) : conv_.out_channels;
    return std::max<index_t>(1, scratch_bytes / (tile * windows_per_row_ * static_cast<index_t>(sizeof(T))));
}

template <class T>
index_t TiledPool<T>::buffer_size(index_t rows) const {
    const index_t tiles = rows * windows_per_row_;
    const index_t copy = padded_ ? (2 * rows + conv_.kernel_height - 1) * padded_width_ * conv_.in_channels : 0;
    return copy + (method_ == Method::winograd ? 16 * tiles * (conv_.in_channels + conv_.out_channels) : 0);
}

template <class T>
bool TiledPool<T>::run(Range pooled, Range blocks, const T* x, Activation activation, T* y, std::uint8_t* codes,
                       T* buffer) const {
    const index_t first_row = pooled.begin, last_row = pooled.end;
    const Conv2dShape& s = conv_;
    // The rows of the image that the band reads, as if it stood alone.
    const index_t begin = std::max<index_t>(0, 2 * first_row - s.pad_top);
    const index_t end = std::min(s.in_height, 2 * last_row + s.kernel_height - 1 - s.pad_top);
    const index_t row = s.in_width * s.in_channels;
    const T* read = x + begin * row;  // unpadded, begin is 2 * first_row
    if (end > begin && !(dispatch::active<T>().largest_magnitude((end - begin) * row, read) <= safe_magnitude_))
        return false;

    if (padded_) {
        const index_t rows = 2 * (last_row - first_row) + s.kernel_height - 1,
                      padded_row = padded_width_ * s.in_channels;
        std::memset(buffer, 0, static_cast<std::size_t>(rows * padded_row) * sizeof(T));
        T* target = buffer + (begin - (2 * first_row - s.pad_top)) * padded_row + s.pad_left * s.in_channels;
        for (index_t h = begin; h < end; ++h, target += padded_row)
            std::memcpy(target, x + h * row, static_cast<std::size_t>(row) * sizeof(T));
        read = buffer;
        buffer += rows * padded_row;
    }
    y += first_row * windows_per_row_ * s.out_channels;
    if (codes) codes += first_row * windows_per_row_ * s.out_channels;
    const Range columns = this->columns(blocks);
    if (method_ == Method::direct)
        run_direct(pooled.size(), columns, read, activation, y, codes);
    else
        run_winograd(pooled.size(), columns, read, activation, y, codes, buffer);
    return true;
}

template <class T>
void TiledPool<T>::run_direct(index_t rows, Range columns, const T* x, Activation activation, T* y,
                              std::uint8_t* codes) const {
    kernels::ConvPoolStrip<T> strip{};
    strip.row_stride = padded_width_ * conv_.in_channels;
    strip.pixel_stride = conv_.in_channels;
    strip.tap_rows = conv_.kernel_height;
    strip.depth = conv_.kernel_width * conv_.in_channels;
    strip.weights = kernel_ + columns.begin;
    strip.weight_stride = strip.y_stride = conv_.out_channels;
    strip.columns = columns.size();
    strip.bias = bias_.data() + columns.begin;
    strip.activation = activation;
    strip.windows = windows_per_row_;
    for (index_t row = 0; row < rows; ++row) {
        const index_t place = row * windows_per_row_ * conv_.out_channels + columns.begin;
        strip.x = x + 2 * row * strip.row_stride;
        strip.y = y + place;
        strip.codes = codes ? codes + place : nullptr;
        dispatch::active<T>().conv_pool(strip);
    }
}

template <class T>
void TiledPool<T>::run_winograd(index_t rows, Range columns, const T* x, Activation activation, T* y,
                                std::uint8_t* codes, T* buffer) const {
    const auto& kernels = dispatch::active<T>();
    const index_t channels = conv_.in_channels, tiles = rows * windows_per_row_;
    const index_t row_stride = padded_width_ * channels;
    T* v = buffer;
    T* m = v + 16 * tiles * channels;
    for (index_t row = 0; row < rows; ++row)
        kernels.winograd_input({x + 2 * row * row_stride, row_stride, channels, windows_per_row_, channels,
                                v + row * windows_per_row_ * channels, tiles * channels});

    static constexpr index_t no_offset[1] = {0};
    kernels::BatchReduce<T> product{};
    product.a_row_stride = channels;
    product.a_depth_stride = 1;
    product.a_offsets = product.b_offsets = no_offset;
    product.b_block_stride = channels * width_;
    product.b_depth_stride = width_;
    product.count = 1;
    product.depth = channels;
    product.c_row_stride = product.columns = columns.size();
    product.rows = tiles;
    product.block_vectors = block_vectors_;
    product.activation = Activation::linear;
    for (int position = 0; position < 16; ++position) {
        product.a = v + position * tiles * channels;
        product.b = transformed_.data() + (position * blocks_ * width_ + columns.begin) * channels;
        product.c = m + position * tiles * columns.size();
        kernels.batch_reduce(product);
    }
    kernels.winograd_pool({m, tiles * columns.size(), tiles, columns.size(), bias_.data() + columns.begin, activation,
                           y + columns.begin, codes ? codes + columns.begin : nullptr, conv_.out_channels});
}

template class TiledPool<float>;
template class TiledPool<double>;

}  // namespace fastconv::ops
