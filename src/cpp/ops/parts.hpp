// A kernel cut into parts for Winograd's products, and the transformed inputs of a row of tiles
// (formulas: kernels/winograd_parts.hpp).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

constexpr index_t widest_of_parts = index_t{1} << 20;  // elements of a row of x, so that offsets fit 32 bits
constexpr index_t tiles_together = 4;  // share a load of weights: runs of tiles are whole groups, but for the last

// A product along one axis.
struct PartProduct {
    index_t a, b;      // inputs, counted from the first that the tile's first output reads: a + sign * b,
    int sign;          // 0 where there is no b
    index_t tap;       // the part's first, from which on a stride apart
    index_t taps;      // of the part
    double weight[3];  // of the taps
};

struct PartsAxis {
    PartsAxis(index_t kernel, index_t stride);

    index_t count() const { return static_cast<index_t>(of[0].size() + of[1].size() + of[2].size() + of[3].size()); }

    std::vector<PartProduct> of[4];  // by position
};

// The weights of each entry: u[k / width][entry][k % width], entries in the order of PartsInput; width divides the
// number of filters.
template <class T>
class PartsWeights {
  public:
    // `kernel` is read by what follows.
    PartsWeights(const Conv2dShape& shape, const PartsAxis& rows, const PartsAxis& columns, const T* kernel,
                 index_t width);

    // Before of_thread() by any thread.
    void prepare();
    // Before of_thread() by the first `threads` threads alone: each transforms a copy when it first asks, which takes
    // less time than to write what another processor holds, and to read what it has written. 11x11 stride 4, 3 -> 96,
    // us: 38 on one thread, 65 to 95 for another one too, 100 to 115 shared by two.
    void prepare_each(int threads);
    const T* of_thread(int thread) const;

  private:
    void transform(T* weights) const;

    Conv2dShape s_;
    PartsAxis rows_, columns_;
    const T* kernel_;
    index_t width_, kernel_row_;
    index_t copy_size_;  // rows of the kernel behind the weights
    runtime::Buffer<T> data_;
    mutable std::vector<std::uint8_t> is_done_;  // each thread's copy, if there are some: changed by it alone
};

// Whether the products are served, and how many times as fast as direct sums they are, where `tile_cost` products'
// time goes into a tile and vector of filters besides.
template <class T>
bool parts_serve(const Conv2dShape& shape);
template <class T>
double parts_gain(const Conv2dShape& shape, double tile_cost);

// The transformed patches of a row of tiles, few channels deep: entries[position][row product][column product][c].
template <class T>
class PartsInput {
  public:
    explicit PartsInput(const Conv2dShape& shape);

    const PartsAxis& rows() const { return rows_; }
    const PartsAxis& columns() const { return columns_; }
    index_t entries() const { return static_cast<index_t>(pairs_.size()); }
    const index_t* depths() const { return depths_; }  // entries of each position
    index_t tile_rows() const { return tile_rows_; }
    index_t tiles() const { return tiles_; }  // of a row
    Range runs() const { return {0, runs_.count}; }

    index_t v_size() const { return entries() * kernels::parts_tiles; }
    index_t buffer_size() const { return line_size_ + (row_count_ + 1 + rows_.count() + 1) * row_size_; }

    // body(row, tiles, v) for some runs of at most parts_tiles tiles of some rows of an image, one run of all rows
    // after the other; v[entry][tile] = place(), room for v_size(). `follows`: the last call was for the row before,
    // of the same run, with this buffer.
    template <class Place, class Body>
    void for_tiles(const T* image, Range runs, Range tile_rows, bool follows, T* buffer, const Place& place,
                   const Body& body) const {
        const auto& kernels = dispatch::active<T>();
        T* const taken = buffer + line_size_;
        T* const sums = taken + (row_count_ + 1) * row_size_;
        std::fill_n(taken + row_count_ * row_size_, row_size_, T(0));
        std::fill_n(sums + rows_.count() * row_size_, row_size_, T(0));
        for (index_t i = runs.begin; i < runs.end; ++i) {
            const Range run = runs_[i];
            for (index_t row = tile_rows.begin; row < tile_rows.end; ++row) {
                T* const v = place();
                take_rows(image, row, follows || row > tile_rows.begin, run, buffer, taken);
                kernels.pair_sums({taken, row_pairs_.data(), rows_.count(), row_size_, sums});
                kernels.pair_sums({sums, pairs_.data(), entries(), kernels::parts_tiles, v});
                body(row, run, v);
            }
        }
    }

  private:
    void take_rows(const T* image, index_t tile_row, bool follows, Range run, T* line, T* taken) const;
    void take_periods(const T* row, Range periods, T* line, T* out) const;

    Conv2dShape s_;
    PartsAxis rows_, columns_;
    index_t tile_rows_, tiles_;
    Cut runs_;
    index_t period_;     // elements of a row of x from tile to tile
    index_t beyond_;     // periods that are read after the last tile's
    index_t stride_;     // between the elements of a period once these lie apart
    index_t row_size_;   // of a run of a row of x then, in whole vectors
    index_t row_count_;  // of rows of x that a tile reads
    index_t line_size_;
    index_t depths_[16];
    std::vector<kernels::Pair<T>> row_pairs_, pairs_;
};

}  // namespace fastconv::ops
