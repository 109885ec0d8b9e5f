#include "ops/tiled_pool.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "dispatch/kernels.hpp"
#include "ops/packing.hpp"
#include "ops/winograd_choice.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t scratch_bytes = index_t{384} << 10;
constexpr index_t most_direct_channels = kernels::few_channels;  // above, a plain product is as good

// Narrower blocks of output channels where there are too few rows of windows for every thread to have some.
template <class T>
int vectors_for(bool winograd, const Conv2dShape& s, const Pool2dShape& p, int num_threads) {
    if (winograd && (s.in_channels <= most_direct_channels || dispatch::active<T>().winograd_conv_pool)) return 1;
    const int vectors = block_vectors<T>(s.out_channels);
    const index_t rows = s.batch * p.out_height;
    const int threads = runtime::thread_count(rows * vectors, s.multiplications(), num_threads);
    return s.batch < threads && vectors % 2 == 0 ? vectors / 2 : vectors;
}

}  // namespace

template <class T>
std::optional<TiledPool<T>> TiledPool<T>::make(const Conv2dShape& s, const Pool2dShape& p, const T* kernel,
                                               const T* bias, int num_threads) {
    const index_t lanes = dispatch::active<T>().lanes;
    if (!has_codes(s, p) || s.out_channels % lanes != 0 || s.in_channels == 0) return {};
    if (s.in_channels <= most_direct_channels)
        return TiledPool(winograd_few_pays<T>(s, Direction::forward), s, p, kernel, bias, num_threads);
    const bool transformable = s.kernel_height == 3 && s.kernel_width == 3 && s.in_channels % lanes == 0;
    if (transformable && runtime::precision() != runtime::Precision::strict)
        return TiledPool(true, s, p, kernel, bias, num_threads);
    return {};
}

template <class T>
TiledPool<T>::TiledPool(bool winograd, const Conv2dShape& s, const Pool2dShape& p, const T* kernel, const T* bias,
                        int num_threads)
    : conv_(s),
      grid_{p.out_height, p.out_width},
      padded_width_(s.in_width + s.pad_left + s.pad_right),
      padded_(!winograd && s.pad_top + s.pad_bottom + s.pad_left + s.pad_right > 0),
      in_registers_(winograd && dispatch::active<T>().winograd_conv_pool),
      few_(winograd && s.in_channels <= most_direct_channels),
      kernel_(kernel),
      block_vectors_(vectors_for<T>(winograd, s, p, num_threads)),
      width_(block_vectors_ * dispatch::active<T>().lanes),
      blocks_(pieces(s.out_channels, width_)),
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

    if (!winograd) return;
    winograd_.emplace(grid_, TiledImages{s.in_height, s.in_width, s.in_channels, -s.pad_top, -s.pad_left},
                      TransformedWeights<T>(s, kernel, Direction::forward, block_vectors_, kernels.winograd_2x2));
}

template <class T>
index_t TiledPool<T>::rows_at_once() const {
    const index_t transformed = 16 * (conv_.in_channels + (in_registers_ ? 0 : conv_.out_channels));
    const index_t tile = winograd_ && !few_ ? transformed : conv_.out_channels;
    return std::max<index_t>(1, scratch_bytes / (tile * grid_.columns * static_cast<index_t>(sizeof(T))));
}

template <class T>
index_t TiledPool<T>::images_at_once() const {
    return in_registers_ && !few_ ? std::max<index_t>(1, rows_at_once() / grid_.rows) : 1;
}

template <class T>
index_t TiledPool<T>::buffer_size(index_t rows) const {
    const index_t tiles = rows * grid_.columns;
    if (few_) return 0;
    if (winograd_)
        return winograd_->v_size(tiles, conv_.in_channels) +
               (in_registers_ ? 0 : winograd_->m_size(tiles, conv_.out_channels));
    return padded_ ? (2 * rows + conv_.kernel_height - 1) * padded_width_ * conv_.in_channels : 0;
}

template <class T>
bool TiledPool<T>::run(Range windows, Range blocks, const T* x, Activation activation, T* y, std::uint8_t* codes,
                       T* buffer, int thread) const {
    const Conv2dShape& s = conv_;
    const Range pooled = rows(windows);
    const index_t begin = std::max<index_t>(0, 2 * pooled.begin - s.pad_top);
    const bool one_image = windows.end <= grid_.per_image();
    const index_t end = one_image ? std::min(s.in_height, 2 * pooled.end + s.kernel_height - 1 - s.pad_top)
                                  : windows.end / grid_.per_image() * s.in_height;
    const index_t row = s.in_width * s.in_channels;
    const index_t size = std::max<index_t>(0, end - begin) * row;
    if (!(dispatch::active<T>().largest_magnitude(size, x + begin * row) <= safe_magnitude_)) return false;

    y += windows.begin * s.out_channels;
    if (codes) codes += windows.begin * s.out_channels;
    if (few_)
        run_few(windows, blocks, x, activation, y, codes, thread);
    else if (winograd_)
        run_winograd(windows, blocks, x, activation, y, codes, buffer, thread);
    else
        run_direct(windows, columns(blocks), x, activation, y, codes, buffer);
    return true;
}

template <class T>
void TiledPool<T>::run_direct(Range windows, Range columns, const T* x, Activation activation, T* y,
                              std::uint8_t* codes, T* buffer) const {
    const Conv2dShape& s = conv_;
    const Range rows = this->rows(windows);
    const index_t top = 2 * rows.begin - s.pad_top, height = 2 * rows.size() + s.kernel_height - 1;
    const index_t row = s.in_width * s.in_channels, padded_row = padded_width_ * s.in_channels;
    if (padded_) {
        std::memset(buffer, 0, static_cast<std::size_t>(height * padded_row) * sizeof(T));
        for (index_t h = std::max<index_t>(0, top); h < std::min(s.in_height, top + height); ++h)
            std::memcpy(buffer + (h - top) * padded_row + s.pad_left * s.in_channels, x + h * row,
                        static_cast<std::size_t>(row) * sizeof(T));
    }
    const T* read = padded_ ? buffer : x + top * row;

    kernels::ConvPoolStrip<T> strip{};
    strip.row_stride = padded_row;
    strip.pixel_stride = s.in_channels;
    strip.tap_rows = s.kernel_height;
    strip.depth = s.kernel_width * s.in_channels;
    strip.weights = kernel_ + columns.begin;
    strip.weight_stride = strip.y_stride = s.out_channels;
    strip.columns = columns.size();
    strip.bias = bias_.data() + columns.begin;
    strip.activation = activation;
    grid_.for_runs(windows, [&](index_t, index_t i, index_t column, index_t count, index_t before) {
        const index_t place = before * s.out_channels + columns.begin;
        strip.x = read + 2 * (i - rows.begin) * padded_row + 2 * column * s.in_channels;
        strip.windows = count;
        strip.y = y + place;
        strip.codes = codes ? codes + place : nullptr;
        dispatch::active<T>().conv_pool(strip);
    });
}

template <class T>
void TiledPool<T>::run_few(Range windows, Range blocks, const T* x, Activation activation, T* y, std::uint8_t* codes,
                           int thread) const {
    const Conv2dShape& s = conv_;
    const Range columns = this->columns(blocks);
    const WeightsView<T> weights = winograd_->weights().of_blocks(0, blocks, thread);
    grid_.for_runs(windows, [&](index_t, index_t row, index_t column, index_t count, index_t before) {
        const index_t place = before * s.out_channels + columns.begin;
        dispatch::active<T>().winograd_few_pool(
            {{{x, s.in_height, s.in_width, s.in_width * s.in_channels, 2 * row - s.pad_top, 2 * column - s.pad_left,
               count, static_cast<int>(s.in_channels)},
              weights.data,
              weights.position_stride,
              weights.block_stride,
              columns.size(),
              bias_.data() + columns.begin,
              activation},
             y + place,
             codes ? codes + place : nullptr,
             s.out_channels});
    });
}

template <class T>
void TiledPool<T>::run_winograd(Range windows, Range blocks, const T* x, Activation activation, T* y,
                                std::uint8_t* codes, T* buffer, int thread) const {
    const index_t tiles = windows.size();
    const Range columns = this->columns(blocks);
    winograd_->transform(windows, 0, {0, 1}, {0, conv_.in_channels}, x, buffer);
    if (in_registers_) {
        const WeightsView<T> weights = winograd_->weights().of_blocks(0, blocks, thread);
        dispatch::active<T>().winograd_conv_pool(
            {buffer, position_stride<T>(tiles * conv_.in_channels), tiles, conv_.in_channels, weights.data,
             weights.position_stride, weights.block_stride, columns.size(), bias_.data() + columns.begin, activation,
             y + columns.begin, codes ? codes + columns.begin : nullptr, conv_.out_channels});
        return;
    }
    T* m = buffer + winograd_->v_size(tiles, conv_.in_channels);
    winograd_->multiply(tiles, winograd_->weights().of_blocks(0, blocks, thread), columns.size(), buffer, m);
    dispatch::active<T>().winograd_pool({m, position_stride<T>(tiles * columns.size()), tiles, columns.size(),
                                         bias_.data() + columns.begin, activation, y + columns.begin,
                                         codes ? codes + columns.begin : nullptr, conv_.out_channels});
}

template class TiledPool<float>;
template class TiledPool<double>;

}  // namespace fastconv::ops
