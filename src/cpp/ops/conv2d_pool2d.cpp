// Chooses among the ways to fuse a convolution with max pooling, and deals out bands of pooled rows.
#include "ops/conv2d_pool2d.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "ops/banded_pool.hpp"
#include "ops/sparse_gradients.hpp"
#include "ops/tiled_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// Code of a position inside the window whose first position is `corner`; -1 if it is not there.
struct WindowCodes {
    index_t offset[4];  // of positions in the image of the convolution's output

    explicit WindowCodes(const Conv2dShape& s)
        : offset{0, s.out_channels, s.out_width * s.out_channels, (s.out_width + 1) * s.out_channels} {}
    int of(index_t distance) const {
        for (int q = 0; q < 4; ++q)
            if (distance == offset[q]) return q;
        return -1;
    }
};

// body(i, corner) for the pooled elements of some rows and channels of one image.
template <class Body>
void for_windows(const Conv2dShape& s, const Pool2dShape& p, Range rows, Range channels, const Body& body) {
    for (index_t row = rows.begin; row < rows.end; ++row)
        for (index_t column = 0; column < p.out_width; ++column)
            for (index_t k = channels.begin; k < channels.end; ++k)
                body((row * p.out_width + column) * p.channels + k,
                     (2 * row * s.out_width + 2 * column) * p.channels + k);
}

// The gradient of the convolution's output: at each maximum.
template <class T, class Position>
runtime::Buffer<T> dense_gradient(const Conv2dShape& s, const Pool2dShape& p, const T* grad, int num_threads,
                                  const Position& position_of) {
    const index_t image_size = s.out_height * s.out_width * s.out_channels;
    const index_t windows = p.out_height * p.out_width * p.channels;
    runtime::Buffer<T> dense(static_cast<std::size_t>(s.batch * image_size));
    std::atomic<bool> outside{false};
    const double work = static_cast<double>(s.batch * (windows + image_size)) / 2;
    runtime::parallel_for(s.batch, runtime::thread_count(s.batch, work, num_threads), [&](index_t n, int) {
        T* image = dense.data() + n * image_size;
        std::memset(image, 0, static_cast<std::size_t>(image_size) * sizeof(T));
        const auto add = [&](index_t i, index_t corner) {
            index_t position = corner;
            if (!position_of(n * windows + i, position)) return;
            if (position < 0 || position >= image_size)
                outside = true;
            else
                image[position] += grad[n * windows + i];
        };
        for_windows(s, p, {0, p.out_height}, {0, p.channels}, add);
    });
    if (outside)
        throw std::invalid_argument("argmax must lie inside the convolution's output, expected indices in [0, " +
                                    std::to_string(image_size) + ")");
    return dense;
}

template <class T>
void gradients_of_dense(const Conv2dShape& s, const T* x, const T* kernel, const T* grad, T* dx, T* dkernel, T* dbias,
                        int num_threads) {
    if (dx) conv2d_input_gradient<T>(s, grad, kernel, nullptr, Activation::linear, dx, num_threads);
    if (dkernel) conv2d_kernel_gradient(s, x, grad, dkernel, num_threads);
    if (dbias) bias_gradient(s.batch * s.out_height * s.out_width, s.out_channels, grad, dbias, num_threads);
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
    const BandedPool<T> banded(s, p, kernel, num_threads);
    const auto tiled = TiledPool<T>::make(s, p, kernel, bias, num_threads);

    // As many rows as the buffers like, fewer if threads would run out of bands, then blocks of channels apart.
    const index_t blocks = tiled ? tiled->blocks() : 1;
    const int threads = runtime::thread_count(s.batch * p.out_height * blocks, s.multiplications(), num_threads);
    const index_t wanted = threads > 1 ? 2 * threads : 1;
    const index_t parts = s.batch < threads ? std::min<index_t>(blocks, threads) : 1;
    index_t band = tiled ? std::min(p.out_height, tiled->rows_at_once()) : banded.rows_at_once();
    band = std::clamp<index_t>(s.batch * parts * p.out_height / wanted, 1, band);
    if (parts > 1) band = std::min(p.out_height, tiled->rows_at_once());
    const index_t bands = (p.out_height + band - 1) / band;

    // Or several images together, so that all threads have as many groups of them.
    const bool whole = tiled && bands == 1 && parts == 1;
    const index_t wanted_groups = pieces(s.batch, whole ? tiled->images_at_once() : 1);
    const index_t groups = std::min(s.batch, pieces(wanted_groups, threads) * threads);
    const index_t most_images = pieces(s.batch, groups);

    const index_t image_in = s.in_height * s.in_width * s.in_channels;
    const index_t image_out = p.out_height * p.out_width * p.channels;
    const index_t buffer_size =
        std::max(banded.buffer_size(band), tiled ? tiled->buffer_size(most_images * band) : 0);
    const index_t code_size = maxima.argmax && !maxima.codes ? image_out : 0;
    const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * buffer_size));
    const runtime::Buffer<std::uint8_t> code_buffers(static_cast<std::size_t>(s.batch * code_size));
    std::uint8_t* const codes = code_size ? code_buffers.data() : maxima.codes;
    const WindowCodes window(s);
    runtime::parallel_for(groups * bands * parts, threads, [&](index_t item, int thread) {
        const index_t part = item % parts, begin = item / parts % bands * band;
        const Range band_rows{begin, std::min(p.out_height, begin + band)};
        const auto share = runtime::share(blocks, static_cast<int>(part), static_cast<int>(parts));
        const Range own_blocks{share.first, share.second};
        T* buffer = buffers.data() + thread * buffer_size;
        const auto run_tiled = [&](Range images, Range rows) {
            const index_t first = images.begin * image_out, images_before = images.size() - 1;
            const Range windows = tiled->windows({rows.begin, images_before * p.out_height + rows.end});
            const bool done = tiled->run(windows, own_blocks, x + images.begin * image_in, activation, y + first,
                                         codes ? codes + first : nullptr, buffer);
            for (index_t n = images.begin; done && maxima.argmax && n < images.end; ++n)
                for_windows(s, p, rows, tiled->columns(own_blocks), [&](index_t i, index_t corner) {
                    maxima.argmax[n * image_out + i] = corner + window.offset[codes[n * image_out + i] & 3];
                });
            return done;
        };
        const auto [first_image, last_image] =
            runtime::share(s.batch, static_cast<int>(item / parts / bands), static_cast<int>(groups));
        if (tiled && run_tiled({first_image, last_image}, band_rows)) return;
        // Each row by the rule that its own values ask for, so that the bits do not depend on the bands.
        const index_t step = tiled ? 1 : band_rows.size();
        for (index_t n = first_image; n < last_image; ++n) {
            const Maxima of_image{maxima.argmax ? maxima.argmax + n * image_out : nullptr,
                                  maxima.codes ? maxima.codes + n * image_out : nullptr};
            for (index_t row = band_rows.begin; row < band_rows.end; row += step) {
                const Range rows{row, row + step};
                if (!(tiled && run_tiled({n, n + 1}, rows)) && part == 0)
                    banded.run(rows, x + n * image_in, bias, activation, y + n * image_out, of_image, buffer);
            }
        }
    });
}

template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel,
                                 const T* grad, const std::uint8_t* codes, T* dx, T* dkernel, T* dbias,
                                 int num_threads) {
    if (has_sparse_gradients<T>(s, p) && (s.in_channels > 1 || dkernel || dbias)) {
        T* sparse_dx = s.in_channels > 1 ? dx : nullptr;
        sparse_gradients(s, p, x, kernel, grad, codes, sparse_dx, dkernel, dbias, num_threads);
        if (sparse_dx) dx = nullptr;
        dkernel = dbias = nullptr;
    }
    if (!dx && !dkernel && !dbias) return;
    const WindowCodes window(s);
    const auto dense = dense_gradient(s, p, grad, num_threads, [&](index_t i, index_t& position) {
        position += window.offset[codes[i] & 3];
        return (codes[i] & kernels::dead_code) == 0;
    });
    gradients_of_dense(s, x, kernel, dense.data(), dx, dkernel, dbias, num_threads);
}

template <class T>
void conv2d_max_pool2d_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel,
                                 const T* grad, const std::int64_t* argmax, const T* y, Activation activation, T* dx,
                                 T* dkernel, T* dbias, int num_threads) {
    const auto flat = [&](index_t i) { return activation == Activation::relu && !(y[i] > 0); };
    if (has_sparse_gradients<T>(s, p)) {
        // A caller may hand in any position of the image; codes can name those of the window.
        const index_t windows = p.out_height * p.out_width * p.channels;
        const runtime::Buffer<std::uint8_t> codes(static_cast<std::size_t>(p.output_size()));
        const WindowCodes window(s);
        std::atomic<bool> elsewhere{false};
        const int threads = runtime::thread_count(s.batch, static_cast<double>(p.output_size()), num_threads);
        runtime::parallel_for(s.batch, threads, [&](index_t n, int) {
            for_windows(s, p, {0, p.out_height}, {0, p.channels}, [&](index_t i, index_t corner) {
                const int code = window.of(argmax[n * windows + i] - corner);
                if (code < 0) elsewhere = true;
                codes.data()[n * windows + i] =
                    static_cast<std::uint8_t>((code & 3) | (flat(n * windows + i) ? kernels::dead_code : 0));
            });
        });
        if (!elsewhere)
            return conv2d_max_pool2d_gradients(s, p, x, kernel, grad, codes.data(), dx, dkernel, dbias, num_threads);
    }
    const auto dense = dense_gradient(s, p, grad, num_threads, [&](index_t i, index_t& position) {
        position = argmax[i];
        return !flat(i);
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
