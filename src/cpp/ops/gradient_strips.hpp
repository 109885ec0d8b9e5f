// The gradient of a pooling, gathered: each element of dx reads the windows that contain it, and is written once.
// dx is cut into strips that read the same windows, as PoolingStrips cuts the windows into strips of the same taps.
#pragma once

#include <algorithm>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/axis.hpp"
#include "ops/contraction.hpp"
#include "ops/pool2d.hpp"
#include "ops/streaming.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {

using runtime::work_of_memory;  // which pooling is bound by

inline int gradient_threads(const PoolSizes& s, int num_threads) {
    const double moved = static_cast<double>(s.input_size()) + 3 * static_cast<double>(s.output_size());
    return runtime::thread_count(s.batch * s.in_height, work_of_memory * moved, num_threads);
}

// Whether dx is written past the caches.
template <class T>
bool streams_gradient(const PoolSizes& s, const T* dx) {
    constexpr auto element = static_cast<index_t>(sizeof(T));
    return s.channels * element % stream_line == 0 && streams(dx, s.input_size() * element);
}

// Pixel m < pixels of the strip is dx[to + m * to_stride + c] and reads the windows at
// from + m * from_stride + offsets[i] + c, i < windows (there may be none), in row order.
struct GradientStrip {
    index_t from, from_stride;
    index_t to, to_stride;
    index_t pixels;
    const index_t* offsets;
    index_t windows;
};

class GradientStrips {
  public:
    // The output sizes of `shape` need not follow from its geometry; windows that do not exist are not read.
    explicit GradientStrips(const Pool2dShape& shape);

    // body(strip) for the strips of row `row` of dx.
    template <class Body>
    void for_row(index_t row, const Body& body) const {
        const Row& r = rows_[static_cast<std::size_t>(row)];
        for (index_t i = r.first; i < r.last; ++i) {
            const Piece& piece = pieces_[static_cast<std::size_t>(i)];
            GradientStrip strip = piece.strip;
            strip.from += r.from;
            strip.to += row * row_size_;
            strip.offsets = offsets_.data() + piece.first_offset;
            body(strip);
        }
    }

    // The rows of windows that reach some rows of dx.
    Range windows_of(Range rows) const;

  private:
    struct Piece {
        GradientStrip strip;  // of row 0 of dx and of the windows
        std::size_t first_offset;
    };
    struct Row {
        index_t first, last;  // pieces
        index_t from;
    };

    Pool2dShape shape_;
    index_t row_size_;
    std::vector<index_t> offsets_;
    std::vector<Piece> pieces_;
    std::vector<Row> rows_;
};

// Whether gradient_of_windows_apart serves: small windows fill the image, channels fill a vector, and places fit the
// lanes.
template <class T>
bool windows_are_apart(const Pool2dShape& s) {
    return s.windows_fill_image() && s.pool_height <= 4 && s.pool_width <= 4 &&
           s.channels >= dispatch::active<T>().lanes && s.in_height * s.in_width * s.channels < (index_t{1} << 31);
}

// Rows of dx of a row of windows that are asked for while the row before is written: not more than half a first cache
// holds, and of gradients that move more than a core's share of the caches. ms, 30x30x32, batch 128, 26 MB: 0.29
// instead of 0.38 on 2 threads; 24x24x32, batch 128, 17 MB: 0.57 instead of 0.79 on one; but 11x11x64, batch 128, 6
// MB: 0.075 instead of 0.060, and with rows of 114 kB, 28x28x512: 0.40 instead of 0.34.
constexpr index_t most_bytes_ahead = index_t{16} << 10;
constexpr index_t least_bytes_ahead = index_t{8} << 20;

// The gradient for such windows: of the mean, or of the maxima if argmax is not null; found(n, count) is told how
// many of the maxima of image n were in their windows, row by row.
template <class T, class Found>
void gradient_of_windows_apart(const Pool2dShape& s, const T* grad, const std::int64_t* argmax, T* dx,
                               int num_threads, const Found& found) {
    const index_t c = s.channels, row = s.in_width * c, windows = s.out_width * c;
    std::vector<index_t> offsets;
    for (index_t i = 0; i < s.pool_height; ++i)
        for (index_t j = 0; j < s.pool_width; ++j) offsets.push_back(i * row + j * c);
    const auto taps = static_cast<index_t>(offsets.size());
    const index_t covered = s.out_width * s.stride_width * c;
    const bool stream = streams_gradient(s, dx);
    const index_t next_row = s.stride_height * row;
    const index_t moved = s.input_size() * static_cast<index_t>(sizeof(T)) +
                          s.output_size() * static_cast<index_t>(sizeof(T) + (argmax ? sizeof(std::int64_t) : 0));
    const bool ahead =
        !stream && moved >= least_bytes_ahead && next_row * static_cast<index_t>(sizeof(T)) <= most_bytes_ahead;
    runtime::parallel_for(s.batch * s.out_height, gradient_threads(s, num_threads), [&](index_t item, int) {
        const index_t n = item / s.out_height, i = item % s.out_height, top = i * s.stride_height;
        T* first = dx + (n * s.in_height + top) * row;
        const index_t count = dispatch::active<T>().window_gradient(
            {grad + item * windows, argmax ? argmax + item * windows : nullptr, offsets.data(), taps, taps,
             s.out_width, c, first, s.stride_width * c, top * row, ahead ? next_row : 0, stream});
        found(n, count);
        for (index_t h = 0; h < s.pool_height && covered < row; ++h)
            std::fill(first + h * row + covered, first + (h + 1) * row, T(0));
        if (i + 1 == s.out_height) std::fill(first + s.pool_height * row, first + (s.in_height - top) * row, T(0));
    });
}

// Cuts dx into bands. For each, prepare(n, windows, buffer) fills the rows of windows that reach the band into a
// buffer that stays in the cache of the thread, then body(n, rows, origin) computes it; the buffer's row 0 of windows
// would be at `origin`.
template <class Item, class Prepare, class Body>
void for_gradient_bands(const Pool2dShape& s, const GradientStrips& strips, int num_threads, const Prepare& prepare,
                        const Body& body) {
    constexpr index_t band_bytes = index_t{96} << 10;
    const int threads = gradient_threads(s, num_threads);
    const index_t row = s.out_width * s.channels;
    const index_t most_rows = std::max<index_t>(1, s.batch * s.out_height / (threads > 1 ? 2 * threads : 1));
    const index_t wanted = band_bytes / std::max<index_t>(1, row * static_cast<index_t>(sizeof(Item)));
    const index_t height = std::clamp<index_t>(wanted, 1, most_rows) * s.stride_height;
    const index_t bands = (s.in_height + height - 1) / height;
    index_t largest = 0;
    for (index_t band = 0; band < bands; ++band)
        largest =
            std::max(largest, strips.windows_of({band * height, std::min(s.in_height, (band + 1) * height)}).size());
    const runtime::Buffer<Item> buffers(static_cast<std::size_t>(threads * largest * row));
    runtime::parallel_for(s.batch * bands, threads, [&](index_t item, int thread) {
        const index_t n = item / bands, begin = item % bands * height;
        const Range rows{begin, std::min(s.in_height, begin + height)};
        const Range windows = strips.windows_of(rows);
        Item* buffer = buffers.data() + thread * largest * row;
        prepare(n, windows, buffer);
        body(n, rows, buffer - windows.begin * row);
    });
}

}  // namespace fastconv::ops
