#include "ops/sparse_gradients.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "dispatch/kernels.hpp"
#include "ops/reduction.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t most_chunks = 16;
constexpr index_t group_bytes = index_t{48} << 10;  // images whose patches are visited together stay near the core

// One image as the kernels see it: with the convolution's padding around it.
struct PaddedImage {
    explicit PaddedImage(const Conv2dShape& s)
        : rows(s.in_height + s.pad_top + s.pad_bottom),
          row((s.in_width + s.pad_left + s.pad_right) * s.in_channels),
          inner_row(s.in_width * s.in_channels),
          inner_rows(s.in_height),
          origin(s.pad_top * row + s.pad_left * s.in_channels),
          padded(rows * row != inner_rows * inner_row) {}

    index_t size() const { return rows * row; }

    template <class T>
    void copy_in(const T* image, T* target) const {
        std::memset(target, 0, static_cast<std::size_t>(size()) * sizeof(T));
        for (index_t h = 0; h < inner_rows; ++h)
            std::memcpy(target + origin + h * row, image + h * inner_row,
                        static_cast<std::size_t>(inner_row) * sizeof(T));
    }
    template <class T>
    void copy_out(const T* source, T* image) const {
        for (index_t h = 0; h < inner_rows; ++h)
            std::memcpy(image + h * inner_row, source + origin + h * row,
                        static_cast<std::size_t>(inner_row) * sizeof(T));
    }

    index_t rows, row, inner_row, inner_rows, origin;
    bool padded;
};

template <class T>
bool has_sparse_kernels(const Conv2dShape& s, const Pool2dShape& p) {
    const bool addressable = PaddedImage(s).size() < std::numeric_limits<std::int32_t>::max() / 4;
    return has_codes(s, p) && s.kernel_height == 3 && s.kernel_width == 3 && addressable &&
           s.out_channels % dispatch::active<T>().lanes == 0 && 9 * s.in_channels * s.out_channels < (1 << 30);
}

// Chunks of images with sums of their own: [9 taps x channels of the kernel][bias] each.
struct Chunks {
    Chunks(const Conv2dShape& s)
        : images((s.batch + most_chunks - 1) / most_chunks),
          count((s.batch + images - 1) / images),
          size(s.kernel_size() + s.out_channels) {}
    index_t images, count, size;
};

template <class T>
void add_pixel_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* grad,
                         const std::uint8_t* codes, index_t first, index_t last, T* dw, T* sums, T* copy) {
    const PaddedImage image(s);
    const index_t row = p.out_width * s.out_channels;
    for (index_t n = first; n < last; ++n) {
        const T* pixels = x + n * image.inner_rows * image.inner_row;
        if (image.padded) {
            image.copy_in(pixels, copy);
            pixels = copy;
        }
        for (index_t i = 0; i < p.out_height; ++i) {
            const index_t place = (n * p.out_height + i) * row;
            dispatch::active<T>().sparse_pixel_gradient({pixels + 2 * i * image.row, image.row, grad + place,
                                                         codes + place, p.out_width, s.out_channels, dw, sums});
        }
    }
}

// The lists of non-zero gradients of a group of images.
template <class T>
struct Lists {
    index_t capacity;
    runtime::Buffer<T> grads;
    runtime::Buffer<std::int32_t> offsets, counts;

    Lists(index_t columns, index_t entries, int threads)
        : capacity(entries),
          grads(static_cast<std::size_t>(threads * columns * entries)),
          offsets(static_cast<std::size_t>(threads * columns * entries)),
          counts(static_cast<std::size_t>(threads * columns)) {}
};

template <class T>
void add_group_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* grad,
                         const std::uint8_t* codes, index_t first, index_t last, const Lists<T>& lists, int thread,
                         T* dw, T* sums, T* copy) {
    const auto& kernels = dispatch::active<T>();
    const PaddedImage image(s);
    const index_t columns = s.out_channels, row = p.out_width * columns;
    const index_t image_size = image.inner_rows * image.inner_row;
    const T* pixels = x + first * image_size;
    if (image.padded) {
        for (index_t n = first; n < last; ++n) image.copy_in(x + n * image_size, copy + (n - first) * image.size());
        pixels = copy;
    }
    kernels::GradientsByChannel<T> by_channel{};
    by_channel.windows = p.out_width;
    by_channel.columns = columns;
    by_channel.window_step = static_cast<std::int32_t>(2 * s.in_channels);
    by_channel.capacity = lists.capacity;
    by_channel.grads = lists.grads.data() + thread * columns * lists.capacity;
    by_channel.offsets = lists.offsets.data() + thread * columns * lists.capacity;
    by_channel.counts = lists.counts.data() + thread * columns;
    by_channel.sums = sums;
    std::fill_n(by_channel.counts, columns, 0);
    for (index_t n = first; n < last; ++n) {
        for (index_t i = 0; i < p.out_height; ++i) {
            const index_t place = (n * p.out_height + i) * row;
            by_channel.grad = grad + place;
            by_channel.codes = codes + place;
            for (int q = 0; q < 4; ++q)
                by_channel.offset[q] = static_cast<std::int32_t>((n - first) * image.size() +
                                                                 (2 * i + q / 2) * image.row + q % 2 * s.in_channels);
            kernels.gradients_by_channel(by_channel);
        }
    }
    if (dw)
        kernels.sparse_kernel_gradient({pixels, image.row, s.in_channels, columns, s.in_channels, lists.capacity,
                                        by_channel.grads, by_channel.offsets, by_channel.counts, dw});
}

}  // namespace

template <class T>
bool has_sparse_kernel_gradient(const Conv2dShape& s, const Pool2dShape& p) {
    return has_sparse_kernels<T>(s, p) &&
           (s.in_channels == 1 || (s.in_channels > 0 && s.in_channels % dispatch::active<T>().lanes == 0));
}

template <class T>
bool has_sparse_input_gradient(const Conv2dShape& s, const Pool2dShape& p) {
    return has_sparse_kernels<T>(s, p) && s.in_channels > 0 && s.in_channels % dispatch::active<T>().lanes == 0;
}

template <class T>
void sparse_kernel_gradient(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* grad,
                            const std::uint8_t* codes, T* dkernel, T* dbias, int num_threads) {
    const index_t kernel_size = s.kernel_size();
    if (s.batch == 0) {
        if (dkernel) std::fill_n(dkernel, kernel_size, T(0));
        if (dbias) std::fill_n(dbias, s.out_channels, T(0));
        return;
    }
    const Chunks chunks(s);
    const PaddedImage image(s);
    const index_t fitting = group_bytes / (image.size() * static_cast<index_t>(sizeof(T)));
    const index_t group = s.in_channels == 1 ? 1 : std::clamp<index_t>(fitting, 1, chunks.images);

    const int threads = runtime::thread_count(chunks.count, s.multiplications() / 4, num_threads);
    const index_t copy_size = image.padded ? group * image.size() : 0;
    const runtime::Buffer<T> copies(static_cast<std::size_t>(threads * copy_size));
    const Lists<T> lists(s.in_channels == 1 ? 0 : s.out_channels, group * p.out_height * p.out_width, threads);
    const runtime::Buffer<T> partials(static_cast<std::size_t>(chunks.count * chunks.size));
    runtime::parallel_for(chunks.count, threads, [&](index_t chunk, int thread) {
        T* dw = partials.data() + chunk * chunks.size;
        T* sums = dw + kernel_size;
        T* copy = copies.data() + thread * copy_size;
        std::memset(dw, 0, static_cast<std::size_t>(chunks.size) * sizeof(T));
        const index_t last = std::min(s.batch, (chunk + 1) * chunks.images);
        for (index_t n = chunk * chunks.images; n < last; n += group) {
            const index_t end = std::min(last, n + group);
            if (s.in_channels == 1)
                add_pixel_gradients(s, p, x, grad, codes, n, end, dw, sums, copy);
            else
                add_group_gradients(s, p, x, grad, codes, n, end, lists, thread, dkernel ? dw : nullptr, sums, copy);
        }
    });
    if (dbias)
        add_partials(chunks.count, s.out_channels, chunks.size, partials.data() + kernel_size, dbias, num_threads);
    if (!dkernel) return;
    if (s.in_channels == 1) {
        add_partials(chunks.count, kernel_size, chunks.size, partials.data(), dkernel, num_threads);
        return;
    }
    // The sums lie by output channel; the kernel has it last.
    const runtime::Buffer<T> sum(static_cast<std::size_t>(kernel_size));
    add_partials(chunks.count, kernel_size, chunks.size, partials.data(), sum.data(), num_threads);
    dispatch::active<T>().transpose(s.out_channels, 9 * s.in_channels, sum.data(), 9 * s.in_channels, dkernel,
                                    s.out_channels);
}

template <class T>
void sparse_input_gradient(const Conv2dShape& s, const Pool2dShape& p, const T* kernel, const T* grad,
                           const std::uint8_t* codes, T* dx, int num_threads) {
    if (s.batch == 0) return;
    const auto& kernels = dispatch::active<T>();
    const PaddedImage image(s);
    const index_t columns = s.out_channels, row = p.out_width * columns;
    const runtime::Buffer<T> weights(static_cast<std::size_t>(s.kernel_size()));
    kernels.transpose(9 * s.in_channels, columns, kernel, columns, weights.data(), 9 * s.in_channels);

    const int threads = runtime::thread_count(s.batch, s.multiplications() / 4, num_threads);
    const index_t work_size = 4 * (columns + kernels.lanes), copy_size = image.padded ? image.size() : 0;
    const runtime::Buffer<T> work_grads(static_cast<std::size_t>(threads * work_size));
    const runtime::Buffer<std::int32_t> work_offsets(static_cast<std::size_t>(threads * work_size));
    const runtime::Buffer<T> copies(static_cast<std::size_t>(threads * copy_size));
    runtime::parallel_for(s.batch, threads, [&](index_t n, int thread) {
        T* result = dx + n * image.inner_rows * image.inner_row;
        T* target = image.padded ? copies.data() + thread * copy_size : result;
        std::memset(target, 0, static_cast<std::size_t>(image.size()) * sizeof(T));
        kernels::SparseInputGradient<T> op{};
        op.windows = p.out_width;
        op.columns = columns;
        op.w = weights.data();
        op.channels = op.pixel_stride = s.in_channels;
        op.row_stride = image.row;
        op.work_grads = work_grads.data() + thread * work_size;
        op.work_offsets = work_offsets.data() + thread * work_size;
        for (index_t i = 0; i < p.out_height; ++i) {
            op.grad = grad + (n * p.out_height + i) * row;
            op.codes = codes + (n * p.out_height + i) * row;
            op.dx = target + 2 * i * image.row;
            kernels.sparse_input_gradient(op);
        }
        if (image.padded) image.copy_out(target, result);
    });
}

#define FASTCONV_INSTANTIATE(T)                                                                      \
    template bool has_sparse_kernel_gradient<T>(const Conv2dShape&, const Pool2dShape&);             \
    template bool has_sparse_input_gradient<T>(const Conv2dShape&, const Pool2dShape&);              \
    template void sparse_kernel_gradient(const Conv2dShape&, const Pool2dShape&, const T*, const T*, \
                                         const std::uint8_t*, T*, T*, int);                          \
    template void sparse_input_gradient(const Conv2dShape&, const Pool2dShape&, const T*, const T*,  \
                                        const std::uint8_t*, T*, int)
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
