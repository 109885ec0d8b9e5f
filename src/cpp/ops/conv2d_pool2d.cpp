// Chooses among the ways to fuse a convolution with max pooling, and deals out bands of pooled rows.
#include "ops/conv2d_pool2d.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/banded_pool.hpp"
#include "ops/sparse_gradients.hpp"
#include "ops/tiled_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// Multiply-adds that take as long as to find a code from an argmax (0.8 ns), and to add a gradient at one (3 ns).
constexpr double work_of_code = 48, work_of_position = 150;

// The codes of the `channels` maxima of a window, of which the first position is `corner` of an image of less than
// 2**31; false if one is not of the window. Without branches, which nobody could foresee.
template <class T>
bool codes_of_window(index_t channels, const std::int64_t* argmax, const T* y, bool relu, index_t row, index_t corner,
                     std::uint8_t* codes) {
    static_assert(kernels::dead_code == 4);
    const auto pixel = static_cast<std::uint64_t>(channels), below = static_cast<std::uint64_t>(row);
    const auto sign = [](std::uint64_t v) { return static_cast<std::uint64_t>(static_cast<std::int64_t>(v) >> 63); };
    std::uint64_t bits = 0, wrong = 0;
    for (index_t k = 0; k < channels; ++k) {
        const std::uint64_t distance = static_cast<std::uint64_t>(argmax[k]) - static_cast<std::uint64_t>(corner + k);
        const std::uint64_t upper = sign(distance - below), rest = distance - (below & ~upper);
        const std::uint64_t dead = relu & !(y[k] > 0);
        bits |= distance;
        wrong |= rest * (rest - pixel);
        codes[k] = static_cast<std::uint8_t>((2 & ~upper) | (1 & sign(0 - rest)) | (dead << 2));
    }
    return wrong == 0 && bits >> 31 == 0;
}

// The other way round. Found in a table instead, with all of 28x28x1 -> 32, 5x5, batch 128, behind it: 1.53 instead
// of 0.95 ms.
void positions_of_window(index_t channels, const std::uint8_t* codes, index_t pixel, index_t row, index_t corner,
                         std::int64_t* argmax) {
    for (index_t k = 0; k < channels; ++k) {
        const index_t code = codes[k];
        argmax[k] = corner + k + (pixel & -(code & 1)) + (row & -(code >> 1 & 1));
    }
}

// The gradient of the convolution's output: at each maximum.
template <class T, class Position>
runtime::Buffer<T> dense_gradient(const Conv2dShape& s, const Pool2dShape& p, const T* grad, int num_threads,
                                  const Position& position_of) {
    const index_t image_size = s.out_height * s.out_width * s.out_channels;
    const index_t windows = p.out_height * p.out_width * p.channels;
    runtime::Buffer<T> dense(static_cast<std::size_t>(s.batch * image_size));
    if (s.batch * image_size == 0) return dense;
    std::atomic<bool> outside{false};
    const double work = work_of_position * static_cast<double>(s.batch * windows);
    const int threads = runtime::thread_count(s.batch * p.channels, work, num_threads);
    // False if a position is of channels that another item adds to.
    const auto add_up = [&](const Cut& channels) {
        std::atomic<bool> own_alone{true};
        runtime::parallel_for(s.batch * channels.count, threads, [&](index_t item, int) {
            const index_t n = item / channels.count;
            const Range own = channels[item % channels.count];
            T* image = dense.data() + n * image_size;
            for (index_t pixel = 0; pixel < image_size; pixel += p.channels)
                std::fill(image + pixel + own.begin, image + pixel + own.end, T(0));
            for (index_t first = n * windows; first < (n + 1) * windows; first += p.channels)
                for (index_t i = first + own.begin; i < first + own.end; ++i) {
                    index_t position = 0;
                    if (!position_of(i, position)) continue;
                    if (position < 0 || position >= image_size)
                        outside = true;
                    else if (const index_t channel = position % p.channels; channel < own.begin || channel >= own.end)
                        own_alone = false;
                    else
                        image[position] += grad[i];
                }
        });
        return own_alone.load();
    };
    // Windows may overlap: few images are shared by their channels. A caller may hand in maxima of other channels.
    if (!add_up({p.channels, pieces(p.channels, pieces(2 * threads, s.batch)), 64 / index_t{sizeof(T)}}))
        add_up({p.channels, p.channels, 1});
    if (outside)
        throw std::invalid_argument("argmax must lie inside the convolution's output, expected indices in [0, " +
                                    std::to_string(image_size) + ")");
    return dense;
}

// The same from codes, row by row of windows.
template <class T>
runtime::Buffer<T> dense_gradient(const Conv2dShape& s, const Pool2dShape& p, const T* grad,
                                  const std::uint8_t* codes, int num_threads) {
    const index_t row = s.out_width * s.out_channels, image_size = s.out_height * row;
    const index_t windows = p.out_width * p.channels, covered = 2 * windows;
    runtime::Buffer<T> dense(static_cast<std::size_t>(s.batch * image_size));
    const double work = static_cast<double>(s.batch * image_size) / 2;
    const index_t rows = s.batch * p.out_height;
    runtime::parallel_for(rows, runtime::thread_count(rows, work, num_threads), [&](index_t item, int) {
        const index_t n = item / p.out_height, i = item % p.out_height, first = item * windows;
        T* const image = dense.data() + n * image_size;
        T* const out = image + 2 * i * row;
        dispatch::active<T>().spread_windows({grad + first, codes + first, p.out_width, p.channels, out, row});
        for (index_t h = 0; h < 2; ++h) std::fill(out + h * row + covered, out + (h + 1) * row, T(0));
        if (i + 1 == p.out_height) std::fill(out + 2 * row, image + image_size, T(0));
    });
    return dense;
}

template <class T>
void gradients_of_dense(const Conv2dShape& s, const T* x, const T* kernel, const T* grad, T* dx, T* dkernel, T* dbias,
                        int num_threads) {
    if (dx) conv2d_input_gradient<T>(s, grad, kernel, nullptr, Activation::linear, dx, num_threads);
    if (dkernel) conv2d_kernel_gradient(s, x, grad, dkernel, num_threads);
    if (dbias) bias_gradient(s.batch * s.out_height * s.out_width, s.out_channels, grad, dbias, num_threads);
}

// What is read and written.
template <class T>
struct Images {
    const Conv2dShape& conv;
    const Pool2dShape& pool;
    const T* x;
    Activation activation;
    T* y;
    Maxima maxima;

    const T* in(index_t n) const { return x + n * conv.in_height * conv.in_width * conv.in_channels; }
    // Of results and maxima.
    index_t place(index_t n) const { return n * pool.out_height * pool.out_width * pool.channels; }
};

// What a thread computes at once: rows of windows in some images, blocks of output channels.
struct Piece {
    Range images, rows, blocks;
};

// So few rows that every thread has two pieces; or more, where less is to do for the busiest: rows of the convolution
// that the windows of two pieces read are computed twice.
index_t fair_rows(const Conv2dShape& s, const Pool2dShape& p, int threads) {
    const index_t wanted = threads > 1 ? 2 * threads : 1;
    const index_t fair = std::clamp<index_t>(s.batch * p.out_height / wanted, 1, p.out_height);
    const index_t shared = (p.pool_height - 1) * p.dilation_height + 1 - p.stride_height;
    if (shared <= 0) return fair;
    const auto most_work = [&](index_t rows) {
        return pieces(s.batch * pieces(p.out_height, rows), threads) * (rows * p.stride_height + shared);
    };
    index_t best = fair;
    for (index_t rows = fair + 1; rows <= p.out_height; ++rows)
        if (most_work(rows) < most_work(best)) best = rows;
    return best;
}

// One image at a time, `rows` of it, the blocks in `parts`.
std::vector<Piece> bands(const Conv2dShape& s, const Pool2dShape& p, index_t rows, index_t blocks, index_t parts) {
    std::vector<Piece> all;
    for (index_t n = 0; n < s.batch; ++n)
        for (index_t row = 0; row < p.out_height; row += rows)
            for (index_t part = 0; part < parts; ++part) {
                const auto [begin, end] = runtime::share(blocks, static_cast<int>(part), static_cast<int>(parts));
                all.push_back({{n, n + 1}, {row, std::min(p.out_height, row + rows)}, {begin, end}});
            }
    return all;
}

// At most so many whole images at a time, fewer towards the end of a thread's share: so all threads end together.
std::vector<Piece> groups(const Conv2dShape& s, const Pool2dShape& p, index_t most, index_t blocks, int threads) {
    std::vector<Piece> all;
    for (int thread = 0; thread < threads; ++thread) {
        const auto [begin, end] = runtime::share(s.batch, thread, threads);
        for (index_t first = begin, last; first < end; first = last) {
            const index_t left = end - first;
            last = first + std::min(most, threads > 1 ? (left + 1) / 2 : left);
            all.push_back({{first, last}, {0, p.out_height}, {0, blocks}});
        }
    }
    return all;
}

// Blocks of channels apart only where there are too few images for the threads.
template <class T>
std::vector<Piece> pieces_of(const TiledPool<T>& tiled, const Conv2dShape& s, const Pool2dShape& p, int threads) {
    const index_t rows = std::min(p.out_height, tiled.rows_at_once());
    if (s.batch < threads) return bands(s, p, rows, tiled.blocks(), std::min<index_t>(tiled.blocks(), threads));
    const index_t fair = std::min(rows, fair_rows(s, p, threads));
    if (fair < p.out_height) return bands(s, p, fair, tiled.blocks(), 1);
    return groups(s, p, tiled.images_at_once(), tiled.blocks(), threads);
}

index_t most_rows(const std::vector<Piece>& all) {
    index_t most = 0;
    for (const Piece& piece : all) most = std::max(most, piece.images.size() * piece.rows.size());
    return most;
}

// All rows but those that TiledPool::run() refuses, which are returned. Each is judged by its own values, so that the
// bits do not depend on what is computed at once.
template <class T>
std::vector<Piece> run_tiled(TiledPool<T>& tiled, const Images<T>& images, int num_threads) {
    const Conv2dShape& s = images.conv;
    const Pool2dShape& p = images.pool;
    const Maxima maxima = images.maxima;
    const int threads =
        runtime::thread_count(s.batch * p.out_height * tiled.blocks(), s.multiplications(), num_threads);
    const std::vector<Piece> all = pieces_of(tiled, s, p, threads);
    tiled.prepare_each(threads);
    const index_t buffer_size = tiled.buffer_size(most_rows(all));
    const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * buffer_size));
    const bool own_codes = maxima.argmax && !maxima.codes;
    const runtime::Buffer<std::uint8_t> code_buffer(static_cast<std::size_t>(own_codes ? p.output_size() : 0));
    std::uint8_t* const codes = own_codes ? code_buffer.data() : maxima.codes;
    const index_t pixel = s.out_channels, row_size = s.out_width * pixel;
    const auto find_positions = [&](index_t n, Range rows, Range channels) {
        for (index_t row = rows.begin; row < rows.end; ++row)
            for (index_t column = 0; column < p.out_width; ++column) {
                const index_t first = images.place(n) + (row * p.out_width + column) * pixel + channels.begin;
                positions_of_window(channels.size(), codes + first, pixel, row_size,
                                    2 * (row * row_size + column * pixel) + channels.begin, maxima.argmax + first);
            }
    };

    const auto run = [&](const Piece& piece, int thread) {
        const index_t place = images.place(piece.images.begin), images_before = piece.images.size() - 1;
        const Range windows = tiled.windows({piece.rows.begin, images_before * p.out_height + piece.rows.end});
        if (!tiled.run(windows, piece.blocks, images.in(piece.images.begin), images.activation, images.y + place,
                       codes ? codes + place : nullptr, buffers.data() + thread * buffer_size, thread))
            return false;
        for (index_t n = piece.images.begin; maxima.argmax && n < piece.images.end; ++n)
            find_positions(n, piece.rows, tiled.columns(piece.blocks));
        return true;
    };
    std::vector<std::uint8_t> refused(static_cast<std::size_t>(s.batch * p.out_height));
    std::atomic<bool> any{false};
    runtime::parallel_for(static_cast<index_t>(all.size()), threads, [&](index_t item, int thread) {
        const Piece& piece = all[static_cast<std::size_t>(item)];
        if (run(piece, thread)) return;
        for (index_t n = piece.images.begin; n < piece.images.end; ++n) {
            for (index_t row = piece.rows.begin; row < piece.rows.end; ++row) {
                if (run({{n, n + 1}, {row, row + 1}, piece.blocks}, thread) || piece.blocks.begin > 0) continue;
                refused[static_cast<std::size_t>(n * p.out_height + row)] = 1;
                any = true;
            }
        }
    });
    std::vector<Piece> left;
    for (index_t i = 0; any && i < s.batch * p.out_height; ++i) {
        const index_t n = i / p.out_height, row = i % p.out_height;
        if (refused[static_cast<std::size_t>(i)]) left.push_back({{n, n + 1}, {row, row + 1}, {}});
    }
    return left;
}

// Rows of single images with all their channels.
template <class T>
void run_banded(const BandedPool<T>& banded, const Images<T>& images, const T* bias, const std::vector<Piece>& all,
                int num_threads) {
    const Conv2dShape& s = images.conv;
    const Maxima maxima = images.maxima;
    const auto items = static_cast<index_t>(all.size());
    const int threads = runtime::thread_count(items, s.multiplications(), num_threads);
    const index_t buffer_size = banded.buffer_size(most_rows(all));
    const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * buffer_size));
    runtime::parallel_for(items, threads, [&](index_t item, int thread) {
        const Piece& piece = all[static_cast<std::size_t>(item)];
        const index_t n = piece.images.begin, place = images.place(n);
        banded.run(piece.rows, images.in(n), bias, images.activation, images.y + place,
                   {maxima.argmax ? maxima.argmax + place : nullptr, maxima.codes ? maxima.codes + place : nullptr},
                   buffers.data() + thread * buffer_size);
    });
}

}  // namespace

bool has_codes(const Conv2dShape& s, const Pool2dShape& p) {
    return s.groups == 1 && s.stride_height == 1 && s.stride_width == 1 && s.dilation_height == 1 &&
           s.dilation_width == 1 && p.pool_height == 2 && p.pool_width == 2 && p.stride_height == 2 &&
           p.stride_width == 2 && p.dilation_height == 1 && p.dilation_width == 1 && p.pad_top == 0 &&
           p.pad_bottom == 0 && p.pad_left == 0 && p.pad_right == 0;
}

template <class T>
void conv2d_max_pool2d(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel, const T* bias,
                       Activation activation, T* y, Maxima maxima, int num_threads) {
    if (p.output_size() == 0) return;
    const Images<T> images{s, p, x, activation, y, maxima};
    if (auto tiled = TiledPool<T>::make(s, p, kernel, bias, num_threads)) {
        const std::vector<Piece> left = run_tiled(*tiled, images, num_threads);
        if (!left.empty()) run_banded(BandedPool<T>(s, p, kernel, num_threads), images, bias, left, num_threads);
        return;
    }
    const BandedPool<T> banded(s, p, kernel, num_threads);
    const index_t fair =
        fair_rows(s, p, runtime::thread_count(s.batch * p.out_height, s.multiplications(), num_threads));
    run_banded(banded, images, bias, bands(s, p, std::min(fair, banded.rows_at_once()), 1, 1), num_threads);
}

template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel,
                                 const T* grad, const std::uint8_t* codes, T* dx, T* dkernel, T* dbias,
                                 int num_threads) {
    const bool sparse_input = has_sparse_input_gradient<T>(s, p);
    if (has_sparse_gradients<T>(s, p) && (sparse_input || dkernel || dbias)) {
        T* sparse_dx = sparse_input ? dx : nullptr;
        sparse_gradients(s, p, x, kernel, grad, codes, sparse_dx, dkernel, dbias, num_threads);
        if (sparse_dx) dx = nullptr;
        dkernel = dbias = nullptr;
    }
    if (!dx && !dkernel && !dbias) return;
    const auto dense = dense_gradient(s, p, grad, codes, num_threads);
    gradients_of_dense(s, x, kernel, dense.data(), dx, dkernel, dbias, num_threads);
}

template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel,
                                 const T* grad, const std::int64_t* argmax, const T* y, Activation activation, T* dx,
                                 T* dkernel, T* dbias, int num_threads) {
    const bool relu = activation == Activation::relu;
    const index_t row = s.out_width * s.out_channels;
    if (has_codes(s, p) && s.out_height * row < (index_t{1} << 31)) {
        // A caller may hand in any position of the image; codes can name those of the window.
        const runtime::Buffer<std::uint8_t> codes(static_cast<std::size_t>(p.output_size()));
        std::atomic<bool> elsewhere{false};
        const index_t rows = s.batch * p.out_height, channels = p.channels;
        const double work = work_of_code * static_cast<double>(p.output_size());
        const int threads = runtime::thread_count(rows, work, num_threads);
        runtime::parallel_for(rows, threads, [&](index_t item, int) {
            index_t i = item * p.out_width * channels, corner = item % p.out_height * 2 * row;
            for (index_t column = 0; column < p.out_width; ++column, i += channels, corner += 2 * channels)
                if (!codes_of_window(channels, argmax + i, y + i, relu, row, corner, codes.data() + i))
                    return elsewhere.store(true);
        });
        if (!elsewhere)
            return conv2d_max_pool2d_gradients(s, p, x, kernel, grad, codes.data(), dx, dkernel, dbias, num_threads);
    }
    const auto dense = dense_gradient(s, p, grad, num_threads, [&](index_t i, index_t& position) {
        position = argmax[i];
        return !relu || y[i] > 0;
    });
    gradients_of_dense(s, x, kernel, dense.data(), dx, dkernel, dbias, num_threads);
}

#define FASTCONV_INSTANTIATE(T)                                                                                     \
    template void conv2d_max_pool2d(const Conv2dShape&, const Pool2dShape&, const T*, const T*, const T*,           \
                                    Activation, T*, Maxima, int);                                                   \
    template void conv2d_max_pool2d_gradients(const Conv2dShape&, const Pool2dShape&, const T*, const T*, const T*, \
                                              const std::uint8_t*, T*, T*, T*, int);                                \
    template void conv2d_max_pool2d_gradients(const Conv2dShape&, const Pool2dShape&, const T*, const T*, const T*, \
                                              const std::int64_t*, const T*, Activation, T*, T*, T*, int)
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
