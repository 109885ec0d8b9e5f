#include "ops/parts.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/settings.hpp"

namespace fastconv::ops {

PartsAxis::PartsAxis(index_t kernel, index_t stride) {
    for (auto& products : of) products.reserve(static_cast<std::size_t>(std::min(kernel, stride) + kernel / 3));
    for (index_t residue = 0; residue < std::min(kernel, stride); ++residue) {
        for (index_t tap = residue; tap < kernel;) {
            const index_t taps = std::min<index_t>(3, pieces(kernel - tap, stride));
            const auto add = [&](int position, index_t a, index_t b, int sign, double w0, double w1, double w2) {
                of[position].push_back({tap + a * stride, tap + b * stride, sign, tap, taps, {w0, w1, w2}});
            };
            if (taps == 3) {
                add(0, 0, 2, -1, 1, 0, 0);
                add(1, 1, 2, 1, .5, .5, .5);
                add(2, 2, 1, -1, .5, -.5, .5);
                add(3, 1, 3, -1, 0, 0, 1);
            } else if (taps == 2) {
                add(0, 0, 1, -1, 1, 0, 0);
                add(1, 1, 1, 0, 1, 1, 0);
                add(3, 1, 2, -1, 0, 1, 0);
            } else {
                add(0, 0, 0, 0, 1, 0, 0);
                add(3, 1, 1, 0, -1, 0, 0);
            }
            tap += taps * stride;
        }
    }
}

namespace {

constexpr index_t most_channels = 4;
constexpr double run_cost =
    16;  // products that take the time of transforming the inputs of an entry and run of tiles

// out[k] = the sum of weight[i] * in[i * step + k] over the taps of a product, all of them or one, in `count` runs
// of k that lie in_stride and out_stride apart.
template <class T>
void weigh(const PartProduct& product, const T* in, index_t step, index_t count, index_t in_stride, index_t size,
           T* out, index_t out_stride) {
    const auto fill = [&](const auto& value) {
        for (index_t i = 0; i < count; ++i, in += in_stride, out += out_stride) {
#pragma GCC ivdep
            for (index_t k = 0; k < size; ++k) out[k] = value(in + k);
        }
    };
    T w[3];
    for (int i = 0; i < 3; ++i) w[i] = static_cast<T>(product.weight[i]);
    const index_t last = product.taps - 1, far = last * step;
    if (last == 0 || w[last] == 0)
        fill([&](const T* tap) { return w[0] * tap[0]; });
    else if (w[0] == 0)
        fill([&](const T* tap) { return w[last] * tap[far]; });
    else if (last == 1)
        fill([&](const T* tap) { return w[0] * tap[0] + w[1] * tap[step]; });
    else
        fill([&](const T* tap) { return w[0] * tap[0] + w[1] * tap[step] + w[2] * tap[far]; });
}

}  // namespace

template <class T>
PartsWeights<T>::PartsWeights(const Conv2dShape& s, const PartsAxis& rows, const PartsAxis& columns, const T* kernel,
                              index_t width)
    : s_(s),
      rows_(rows),
      columns_(columns),
      kernel_(kernel),
      width_(width),
      kernel_row_(s.kernel_width * s.in_channels * s.out_channels),
      copy_size_(rows.count() * (columns.count() * s.in_channels * s.out_channels + kernel_row_)) {}

template <class T>
void PartsWeights<T>::prepare() {
    runtime::Buffer<T> all(static_cast<std::size_t>(copy_size_));
    transform(all.data());
    data_ = std::move(all);
    is_done_.clear();
}

template <class T>
void PartsWeights<T>::prepare_each(int threads) {
    std::vector<std::uint8_t> is_done(static_cast<std::size_t>(threads));
    data_ = runtime::Buffer<T>(static_cast<std::size_t>(threads * copy_size_));
    is_done_ = std::move(is_done);
}

template <class T>
const T* PartsWeights<T>::of_thread(int thread) const {
    if (is_done_.empty()) return data_.data();
    T* const copy = data_.data() + thread * copy_size_;
    std::uint8_t& done = is_done_[static_cast<std::size_t>(thread)];
    if (!done) transform(copy);
    done = 1;
    return copy;
}

template <class T>
void PartsWeights<T>::transform(T* weights) const {
    const index_t columns = s_.out_channels, channels = s_.in_channels, tap = channels * columns;
    const index_t entries = rows_.count() * columns_.count() * channels;
    // A row of the kernel for each product along the rows.
    T* const rows = weights + entries * columns;
    T* row = rows;
    for (const auto& products : rows_.of)
        for (const PartProduct& r : products) {
            weigh(r, kernel_ + r.tap * kernel_row_, s_.stride_height * kernel_row_, 1, 0, kernel_row_, row, 0);
            row += kernel_row_;
        }
    for (index_t k = 0; k < columns; k += width_) {
        T* out = weights + k * entries;
        const T* first = rows + k;
        for (const auto& row_products : rows_.of) {
            const T* const end = first + static_cast<index_t>(row_products.size()) * kernel_row_;
            for (const auto& column_products : columns_.of)
                for (const T* in = first; in < end; in += kernel_row_)
                    for (const PartProduct& f : column_products) {
                        weigh(f, in + f.tap * tap, s_.stride_width * tap, channels, columns, width_, out, width_);
                        out += channels * width_;
                    }
            first = end;
        }
    }
}

template <class T>
bool parts_serve(const Conv2dShape& s) {
    return s.groups == 1 && s.dilation_height == 1 && s.dilation_width == 1 && s.in_channels > 0 &&
           s.in_channels <= most_channels && s.in_width * s.in_channels <= widest_of_parts && s.output_size() > 0 &&
           s.out_channels % dispatch::active<T>().lanes == 0 && (s.kernel_height > 3 || s.kernel_width > 3) &&
           runtime::precision() != runtime::Precision::strict;
}

template <class T>
double parts_gain(const Conv2dShape& s, double tile_cost) {
    const index_t entries = PartsAxis(s.kernel_height, s.stride_height).count() *
                            PartsAxis(s.kernel_width, s.stride_width).count() * s.in_channels;
    const index_t vectors = s.out_channels / dispatch::active<T>().lanes, rows = pieces(s.out_height, 2);
    const index_t tiles = pieces(pieces(s.out_width, 2), tiles_together) * tiles_together;
    const double products = static_cast<double>(tiles * vectors) * (static_cast<double>(entries) + tile_cost);
    const double transforms = run_cost * static_cast<double>(pieces(tiles, kernels::parts_tiles) * entries);
    const double direct = static_cast<double>(s.out_height * s.out_width * vectors) *
                          static_cast<double>(s.kernel_height * s.kernel_width * s.in_channels);
    return direct / (static_cast<double>(rows) * (products + transforms));
}

template <class T>
PartsInput<T>::PartsInput(const Conv2dShape& s)
    : s_(s),
      rows_(s.kernel_height, s.stride_height),
      columns_(s.kernel_width, s.stride_width),
      tile_rows_(pieces(s.out_height, 2)),
      tiles_(pieces(s.out_width, 2)),
      runs_(tiles_, kernels::parts_tiles, tiles_together),
      period_(2 * s.stride_width * s.in_channels),
      beyond_((s.kernel_width + s.stride_width - 1) / (2 * s.stride_width)),
      stride_(kernels::parts_tiles + beyond_),
      row_size_(pieces(period_ * stride_, kernels::parts_tiles) * kernels::parts_tiles),
      row_count_(s.kernel_height + s.stride_height),
      line_size_(pieces((kernels::parts_tiles + beyond_) * period_, kernels::parts_tiles) * kernels::parts_tiles),
      depths_{} {
    const auto pair = [](index_t a, index_t b, int sign, index_t zeros) {
        return kernels::Pair<T>{static_cast<std::int32_t>(a), static_cast<std::int32_t>(sign == 0 ? zeros : b),
                                sign < 0 ? T(-1) : T(1)};
    };
    for (const auto& products : rows_.of)
        for (const PartProduct& r : products)
            row_pairs_.push_back(pair(r.a * row_size_, r.b * row_size_, r.sign, row_count_ * row_size_));
    const index_t period_pixels = 2 * s.stride_width, zeros = rows_.count() * row_size_;
    index_t before = 0;  // row products of the positions before
    for (int p = 0; p < 4; ++p) {
        const auto row_products = static_cast<index_t>(rows_.of[p].size());
        for (int q = 0; q < 4; ++q) {
            for (index_t e = before; e < before + row_products; ++e) {
                for (const PartProduct& f : columns_.of[q]) {
                    for (index_t c = 0; c < s.in_channels; ++c) {
                        const auto at = [&](index_t column) {
                            return e * row_size_ + (column % period_pixels * s.in_channels + c) * stride_ +
                                   column / period_pixels;
                        };
                        pairs_.push_back(pair(at(f.a), at(f.b), f.sign, zeros));
                    }
                }
            }
            depths_[4 * p + q] = row_products * static_cast<index_t>(columns_.of[q].size()) * s.in_channels;
        }
        before += row_products;
    }
}

// Some periods of a row, some of which are partly outside.
template <class T>
void PartsInput<T>::take_periods(const T* row, Range periods, T* line, T* out) const {
    const index_t begin = periods.begin * period_ - s_.pad_left * s_.in_channels;
    const index_t size = periods.size() * period_, end = s_.in_width * s_.in_channels - begin;
    const Range inside = overlap({0, size}, {-begin, end});
    std::fill_n(line, inside.begin, T(0));
    if (inside.size() > 0)
        std::memcpy(line + inside.begin, row + begin + inside.begin,
                    static_cast<std::size_t>(inside.size()) * sizeof(T));
    std::fill(line + inside.end, line + size, T(0));
    dispatch::active<T>().transpose(periods.size(), period_, line, period_, out, stride_);
}

// The rows of x for a row of tiles, their periods taken apart so that tiles follow each other; those that the row
// before has seen are there, further down. Beyond what is used they are left as they were: nobody reads what becomes
// of them.
template <class T>
void PartsInput<T>::take_rows(const T* image, index_t tile_row, bool follows, Range run, T* line, T* taken) const {
    const index_t step = 2 * s_.stride_height, row_size = s_.in_width * s_.in_channels;
    const index_t left = s_.pad_left * s_.in_channels;
    const index_t known = follows ? std::max<index_t>(0, row_count_ - step) : 0;
    std::memmove(taken, taken + (row_count_ - known) * row_size_,
                 static_cast<std::size_t>(known * row_size_) * sizeof(T));
    const Range periods{run.begin, run.end + beyond_};
    const Range inside = overlap(periods, {pieces(left, period_), (left + row_size) / period_});
    for (index_t r = known; r < row_count_; ++r) {
        const index_t h = tile_row * step - s_.pad_top + r;
        T* const out = taken + r * row_size_;
        if (h < 0 || h >= s_.in_height) {
            std::fill_n(out, row_size_, T(0));
            continue;
        }
        const T* row = image + h * row_size;
        take_periods(row, {periods.begin, inside.begin}, line, out);
        dispatch::active<T>().transpose(inside.size(), period_, row + inside.begin * period_ - left, period_,
                                        out + inside.begin - run.begin, stride_);
        take_periods(row, {inside.end, periods.end}, line, out + inside.end - run.begin);
    }
}

template class PartsWeights<float>;
template class PartsWeights<double>;
template bool parts_serve<float>(const Conv2dShape&);
template bool parts_serve<double>(const Conv2dShape&);
template double parts_gain<float>(const Conv2dShape&, double);
template double parts_gain<double>(const Conv2dShape&, double);
template class PartsInput<float>;
template class PartsInput<double>;

}  // namespace fastconv::ops
