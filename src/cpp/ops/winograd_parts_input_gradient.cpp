// WinogradParts (kernels/winograd_parts.hpp) transposed. With G = A g A^T of each 2x2 tile of grad:
//
//   z[entry][tile] = sum over k of u[entry][k] * G[position of the entry][k][tile]
//
// and each z goes back to the one or two inputs along each axis that the entry is the sum or difference of. Lanes are
// tiles: of a group of rows of tiles, side by side, with `gap` columns of zeros before each row. Back go first the
// columns, for a whole group, to sums[row product][place in a period, channel][tile], then the rows: a row of dx is a
// sum of some row products of its own row of tiles and of `history` rows of tiles before it, which are kept. Last a
// transposition puts the places of the periods side by side.
//
// Of 3x3 kernels with stride 1 or 2 positions have few entries: a kernel of its own transforms grad and multiplies.
//
// Registers are those of batch_reduce. Tiles are taken in blocks of two vectors: grad's part of a block and its sums
// stay near the first-level cache. Of the 16 positions 4 are grad itself, 12 one addition each.
#include "ops/winograd_parts_input_gradient.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <vector>

#include "ops/parts.hpp"
#include "ops/signed_terms.hpp"
#include "ops/winograd.hpp"
#include "ops/winograd_choice.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t z_bytes = index_t{512} << 10;  // half of a second-level cache
constexpr index_t most_group = 16;
constexpr index_t block_vectors_of_tiles = 2;  // 1 and 3 take as long
constexpr index_t most_lanes = 16;
constexpr int second_level = 2;  // of the caches, to __builtin_prefetch

// Times as fast as the products tap by tap, measured and expected; Zen 4, float32, 1 thread, batch 8 to 32:
//
//   kernel                   AVX-512        AVX2
//   7x7/2    3 -> 64  224    1.32   1.16    1.41   1.27
//   11x11/4  3 -> 96  227    1.61   1.52    1.52   1.63
//   7x7      3 -> 64  112    1.38   1.16    1.38   1.27
//   6x6/2    4 -> 64   64    1.25   1.23    1.40   1.32
//   7x7/2    3 -> 32  224    1.25   0.99    1.35   1.16
//   11x11    1 -> 64   28    1.08   1.06    1.01   1.14
//   5x5/2    3 -> 64  112    1.12   0.97    1.13   1.04
//   5x5      3 -> 64   32    0.94   0.99    0.80   1.05
//   8x8/4    3 -> 64   64    0.91   0.88    1.10   1.02
//   5x5      1 -> 32   28    0.70   0.45    0.71   0.48
//
// (x86-64-v2: 1.7 to 3.5 for the first nine but 11x11, 0.98.)
constexpr double tile_cost = 120, enough = 1.1;

template <class T>
class PartsInputGradient {
  public:
    // Entries at a position.
    static bool is_few(const Conv2dShape& s) {
        return s.kernel_height == 3 && s.kernel_width == 3 && s.stride_height == s.stride_width &&
               s.stride_height <= 2;
    }

    PartsInputGradient(const Conv2dShape& s, const T* kernel, const T* bias, Activation activation)
        : kernels_(dispatch::active<T>()),
          s_(s),
          bias_(bias),
          activation_(activation),
          rows_(turned({s.kernel_height, s.stride_height})),
          columns_(turned({s.kernel_width, s.stride_width})),
          entries_(rows_.count() * columns_.count() * s.in_channels),
          tile_rows_(pieces(s.out_height, 2)),
          tiles_(pieces(s.out_width, 2)),
          period_rows_(2 * s.stride_height),
          period_(2 * s.stride_width * s.in_channels),
          periods_(pieces(s.in_width + s.pad_left, 2 * s.stride_width)),
          gap_((s.kernel_width + s.stride_width - 1) / (2 * s.stride_width)),
          history_((s.kernel_height + s.stride_height - 1) / (2 * s.stride_height)),
          run_(std::max(tiles_ + gap_, periods_)),
          few_(is_few(s)),
          weights_(s, rows_, columns_, kernel, s.out_channels),
          zeros_(static_cast<std::size_t>(s.out_channels)) {
        const index_t lanes = kernels_.lanes;
        const auto columns = [&](index_t rows) { return pieces(gap_ + rows * run_, lanes) * lanes; };
        group_ = 1;
        for (index_t rows = 2; rows <= std::min(tile_rows_, most_group); ++rows)
            if (entries_ * columns(rows) * static_cast<index_t>(sizeof(T)) <= z_bytes &&
                columns(rows) * group_ < columns(group_) * rows)
                group_ = rows;
        z_stride_ = columns(group_);
        before_ = pieces(history_ * run_, lanes) * lanes;
        sums_stride_ = before_ + z_stride_;
        block_ = std::min<index_t>(block_vectors_of_tiles, kernels_.block_vectors) * lanes;
        column_terms_ = SignedTerms(rows_.count() * period_, [this](const auto& add) { for_column_terms(add); });
        row_terms_ = SignedTerms(period_rows_, [this](const auto& add) { for_row_terms(add); });
        if (few_) turn_weights();
        std::fill_n(zeros_.data(), s.out_channels, T(0));
    }

    // Rows of dx, in periods, counted from the first that is padding.
    index_t period_rows() const { return pieces(s_.in_height + s_.pad_top, period_rows_); }
    index_t buffer_size() const {
        const index_t size = 7 * s_.out_channels * block_ + entries_ * z_stride_ +
                             rows_.count() * period_ * sums_stride_ + period_ * z_stride_ + periods_ * period_;
        return pieces(size + 4 * kernels_.lanes, kernels_.lanes) * kernels_.lanes;
    }

    // Before run() by so many threads.
    void prepare(int threads) { weights_.prepare_each(threads); }
    // False if some dx is not finite.
    bool run(Range periods, const T* grad, T* dx, T* buffer, int thread) const {
        T* const z = buffer + 7 * s_.out_channels * block_;
        T* const sums = z + entries_ * z_stride_ + kernels_.lanes;
        T* const out = sums + rows_.count() * period_ * sums_stride_ + kernels_.lanes;
        T* const line = out + period_ * z_stride_ + kernels_.lanes;
        const T* const weights = few_ ? turned_weights_.data() : weights_.of_thread(thread);
        const index_t arrays = rows_.count() * period_;
        for (index_t i = 0; i < arrays; ++i) std::fill_n(sums + i * sums_stride_, before_, T(0));
        bool finite = true;
        index_t held = 0;
        for (index_t first = std::max<index_t>(0, periods.begin - history_); first < periods.end; first += held) {
            // What the group before leaves to this one.
            for (index_t i = 0; held > 0 && i < arrays; ++i) {
                T* const end = sums + i * sums_stride_ + before_;
                std::memmove(end - history_ * run_, end + (held - history_) * run_,
                             static_cast<std::size_t>(history_ * run_) * sizeof(T));
            }
            held = std::min(group_, periods.end - first);
            const index_t size = pieces(held * run_, kernels_.lanes) * kernels_.lanes;
            if (first < tile_rows_) {
                multiply(first, held, weights, grad, z, buffer);
                sum_columns(size, z, sums);
            } else {
                for (index_t i = 0; i < arrays; ++i) std::fill_n(sums + i * sums_stride_ + before_, size, T(0));
            }
            if (!sum_rows(first, std::max(first, periods.begin), held, size, sums, out, line, dx)) finite = false;
        }
        return finite;
    }

  private:
    // The terms of each sum of columns: add(sum, offset, sign); z_stride_ and run_ say where they are.
    template <class Add>
    void for_column_terms(const Add& add) const {
        const index_t channels = s_.in_channels, pixels = 2 * s_.stride_width;
        index_t entry = 0, row_product = 0;
        for (const auto& row_products : rows_.of) {
            const auto count = static_cast<index_t>(row_products.size());
            for (const auto& column_products : columns_.of) {
                for (index_t row = row_product; row < row_product + count; ++row) {
                    for (const PartProduct& f : column_products) {
                        for (index_t c = 0; c < channels; ++c, ++entry) {
                            const auto give = [&](index_t column, int sign) {
                                add(row * period_ + column % pixels * channels + c,
                                    entry * z_stride_ + gap_ - column / pixels, sign);
                            };
                            give(f.a, 1);
                            if (f.sign != 0) give(f.b, f.sign);
                        }
                    }
                }
            }
            row_product += count;
        }
    }

    // The same of each row of dx of a period, in the sums.
    template <class Add>
    void for_row_terms(const Add& add) const {
        index_t row_product = 0;
        for (const auto& row_products : rows_.of) {
            for (const PartProduct& r : row_products) {
                const auto give = [&](index_t row, int sign) {
                    add(row % period_rows_,
                        row_product * period_ * sums_stride_ + before_ - row / period_rows_ * run_, sign);
                };
                give(r.a, 1);
                if (r.sign != 0) give(r.b, r.sign);
                ++row_product;
            }
        }
    }

    // A's last row is negative; the weights take the sign.
    static PartsAxis turned(PartsAxis axis) {
        for (PartProduct& product : axis.of[3])
            for (double& weight : product.weight) weight = -weight;
        return axis;
    }

    // [k][entry]
    void turn_weights() {
        weights_.prepare();
        turned_weights_ = runtime::Buffer<T>(static_cast<std::size_t>(entries_ * s_.out_channels));
        kernels_.transpose(entries_, s_.out_channels, weights_.of_thread(0), s_.out_channels, turned_weights_.data(),
                           entries_);
    }

    index_t depth(int p, int q) const {
        return static_cast<index_t>(rows_.of[p].size() * columns_.of[q].size()) * s_.in_channels;
    }

    // body(h, own, start) for the tiles of some columns of a group's z, row by row: `own` of them are tiles of a row
    // that begins at column `start`, and h is row p of their outputs.
    template <class Body>
    void for_tiles(index_t first_row, index_t rows, index_t p, Range columns, const Body& body) const {
        for (index_t r = columns.begin / run_; r < rows; ++r) {
            const index_t h = 2 * (first_row + r) + p, start = gap_ + r * run_;
            if (start >= columns.end || h >= s_.out_height) return;
            const Range own = overlap({start, start + tiles_}, columns);
            if (own.size() > 0) body(h, own, start);
        }
    }

    // The outputs (p, q) of the tiles of some columns of z, [p][q][k][column].
    void take_block(index_t first_row, index_t rows, Range columns, const T* grad, T* taken) const {
        const index_t pixel = s_.out_channels, width = columns.size();
        const T* pixels[block_vectors_of_tiles * most_lanes];
        // As far as the tiles at the same places further down: a row of them, or as many as a block holds.
        const index_t ahead = 2 * std::max<index_t>(1, width / tiles_) * s_.out_width * pixel;
        for (index_t p = 0; p < 2; ++p) {
            for (index_t q = 0; q < 2; ++q, taken += pixel * width) {
                std::fill_n(pixels, width, zeros_.data());
                for_tiles(first_row, rows, p, columns, [&](index_t h, Range own, index_t start) {
                    const index_t end = std::min(own.end, start + (s_.out_width + 1 - q) / 2);
                    const T* from = grad + (h * s_.out_width + 2 * (own.begin - start) + q) * pixel;
                    for (index_t n = own.begin; n < end; ++n, from += 2 * pixel) pixels[n - columns.begin] = from;
                });
                kernels_.turn_rows(pixels, width, pixel, ahead, taken, width);
            }
        }
    }

    // Asks for one of 16 parts of the same outputs.
    void fetch(index_t first_row, index_t rows, Range columns, index_t part, const T* grad) const {
        constexpr index_t line = 64 / sizeof(T);
        for_tiles(first_row, rows, part % 2, columns, [&](index_t h, Range own, index_t start) {
            const index_t first = 2 * (own.begin - start), last = std::min(2 * (own.end - start), s_.out_width);
            const T* const from = grad + (h * s_.out_width + first) * s_.out_channels;
            const index_t size = (last - first) * s_.out_channels;
            for (index_t i = size * (part / 2) / 8; i < size * (part / 2 + 1) / 8; i += line)
                __builtin_prefetch(from + i, 0, second_level);
            asm volatile("");  // GCC 12 takes a function that only asks for memory for one without effect
        });
    }

    // z of a group.
    void multiply(index_t first_row, index_t rows, const T* weights, const T* grad, T* z, T* buffer) const {
        static constexpr index_t no_offset[1] = {0};
        const index_t all = pieces(gap_ + rows * run_, kernels_.lanes) * kernels_.lanes;
        kernels::BatchReduce<T> op{};
        op.a_row_stride = op.depth = s_.out_channels;
        op.a_depth_stride = op.count = 1;
        op.a_offsets = op.b_offsets = no_offset;
        op.c_row_stride = z_stride_;
        for (index_t first = 0; first < all; first += block_) {
            const index_t width = std::min(block_, all - first);
            op.columns = op.b_depth_stride = width;
            op.block_vectors = static_cast<int>(width / kernels_.lanes);
            const index_t size = s_.out_channels * width;
            T* const taken = buffer;
            take_block(first_row, rows, {first, first + width}, grad, taken);
            if (few_) {
                kernels_.winograd_few_input_gradient({taken, size, width, weights, s_.out_channels, width,
                                                      static_cast<int>(s_.in_channels),
                                                      static_cast<int>(s_.stride_width), z + first, z_stride_});
                continue;
            }
            op.a = weights;
            op.c = z + first;
            for (int p = 0; p < 4; ++p) {
                const index_t row = positions(p, 2 * size, taken, 0, 4 * size);
                for (int q = 0; q < 4; ++q) {
                    if (first + block_ < all)
                        fetch(first_row, rows, {first + block_, first + 2 * block_}, 4 * p + q, grad);
                    else
                        fetch(first_row + rows, group_, {0, block_}, 4 * p + q, grad);
                    op.rows = depth(p, q);
                    op.b = taken + positions(q, size, taken, row, 6 * size);
                    kernels_.batch_reduce(op);
                    op.a += op.rows * op.a_row_stride;
                    op.c += op.rows * z_stride_;
                }
            }
        }
    }

    // Where g0, g0 + g1, g0 - g1 or g1 of two arrays from `in` on is: there, or at `out`.
    index_t positions(int position, index_t size, T* x, index_t in, index_t out) const {
        if (position == 0) return in;
        if (position == 3) return in + size;
        const kernels::Pair<T> pair{static_cast<std::int32_t>(in), static_cast<std::int32_t>(in + size),
                                    position == 1 ? T(1) : T(-1)};
        kernels_.pair_sums({x, &pair, 1, size, x + out});
        return out;
    }

    void sum_columns(index_t size, const T* z, T* sums) const {
        kernels::ShiftedSum<T> op{};
        op.x = z;
        op.size = size;
        op.y = sums + before_;
        for (index_t sum = 0; sum < rows_.count() * period_; ++sum) {
            column_terms_.give(sum, op);
            kernels_.shifted_sum(op);
            op.y += sums_stride_;
        }
    }

    // The rows of dx of a group from period `begin` on; false if some are not finite.
    bool sum_rows(index_t first, index_t begin, index_t rows, index_t size, const T* sums, T* out, T* line,
                  T* dx) const {
        const index_t left = s_.pad_left * s_.in_channels, row_size = s_.in_width * s_.in_channels;
        kernels::ShiftedSum<T> op{};
        op.size = size;
        bool finite = true;
        for (index_t residue = 0; residue < period_rows_; ++residue) {
            row_terms_.give(residue, op);
            for (index_t i = 0; i < period_; ++i) {
                op.x = sums + i * sums_stride_;
                op.y = out + i * z_stride_;
                op.start = bias_ ? bias_[i % s_.in_channels] : T(0);
                kernels_.shifted_sum(op);
            }
            for (index_t r = begin - first; r < rows; ++r) {
                const index_t h = (first + r) * period_rows_ + residue - s_.pad_top;
                if (h < 0 || h >= s_.in_height) continue;
                kernels_.transpose(period_, periods_, out + r * run_, z_stride_, line, period_);
                finite = finite && kernels_.largest_magnitude(row_size, line + left) <= std::numeric_limits<T>::max();
                T* const row = dx + h * row_size;
                if (activation_ == Activation::relu)
                    kernels_.relu(row_size, line + left, row);
                else
                    std::memcpy(row, line + left, static_cast<std::size_t>(row_size) * sizeof(T));
            }
        }
        return finite;
    }

    const kernels::KernelsOf<T>& kernels_;
    const Conv2dShape& s_;
    const T* bias_;
    Activation activation_;
    PartsAxis rows_, columns_;
    index_t entries_;
    index_t tile_rows_, tiles_;  // of a row
    index_t period_rows_;        // of dx from a row of tiles to the next
    index_t period_;             // elements of a row of dx from tile to tile
    index_t periods_;            // of a row of dx, its left padding with it
    index_t gap_;                // periods that a tile reaches beyond its own
    index_t history_;            // the same of rows
    index_t run_;                // columns for a row of tiles
    bool few_;
    PartsWeights<T> weights_;
    runtime::Buffer<T> turned_weights_, zeros_;
    index_t group_;        // rows of tiles at once
    index_t z_stride_;     // columns of a group, in whole vectors
    index_t before_;       // history in `sums`, in whole vectors
    index_t sums_stride_;  // between the row products' sums
    index_t block_;        // columns
    SignedTerms column_terms_, row_terms_;
};

}  // namespace

template <class T>
bool winograd_parts_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias,
                                   Activation activation, T* dx, int num_threads) {
    const bool pays = PartsInputGradient<T>::is_few(s) ? winograd_few_pays<T>(s, Direction::input_gradient) &&
                                                             s.in_width * s.in_channels <= widest_of_parts
                                                       : parts_serve<T>(s) && parts_gain<T>(s, tile_cost) >= enough;
    if (s.batch == 0 || !pays) return false;
    PartsInputGradient<T> gradient(s, kernel, bias, activation);
    const index_t periods = gradient.period_rows(), size = gradient.buffer_size();
    const index_t grad_image = s.out_height * s.out_width * s.out_channels;
    const index_t dx_image = s.in_height * s.in_width * s.in_channels;
    const double work = s.multiplications();  // at their peak these would take about as long
    // Few images: a band of rows of dx for every thread.
    int threads = runtime::thread_count(s.batch * periods, work, num_threads);
    const Cut bands(periods, pieces(periods, pieces(threads, s.batch)), 1);
    const index_t items = s.batch * bands.count;
    threads = runtime::thread_count(items, work, num_threads);
    gradient.prepare(threads);
    const auto buffers = scratch_of_threads<T>(threads, size);
    std::atomic<bool> finite{true};
    runtime::parallel_for(items, threads, [&](index_t item, int thread) {
        const index_t image = item / bands.count;
        if (!gradient.run(bands[item % bands.count], grad + image * grad_image, dx + image * dx_image,
                          buffers.data() + thread * size, thread))
            finite = false;
    });
    return finite;
}

template bool winograd_parts_input_gradient(const Conv2dShape&, const float*, const float*, const float*, Activation,
                                            float*, int);
template bool winograd_parts_input_gradient(const Conv2dShape&, const double*, const double*, const double*,
                                            Activation, double*, int);

}  // namespace fastconv::ops
