#include "ops/sparse_gradients.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "dispatch/kernels.hpp"
#include "ops/contraction.hpp"
#include "ops/reduction.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t most_chunks = 16;
constexpr index_t group_bytes = index_t{24} << 10;  // images whose patches are visited together stay near the core

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

// Chunks of images with sums of their own: [9 taps x channels of the kernel][bias] each.
struct Chunks {
    Chunks(const Conv2dShape& s)
        : images((s.batch + most_chunks - 1) / most_chunks),
          count((s.batch + images - 1) / images),
          size(s.kernel_size() + s.out_channels) {}
    index_t images, count, size;
};

// Images that a thread has in hand together, and its room for them.
template <class T>
struct Work {
    Work(const Conv2dShape& s, const Pool2dShape& p, index_t most_images, bool of_input, int threads)
        : image(s),
          one_channel(s.in_channels == 1),
          group(one_channel ? 1 : std::clamp<index_t>(group_bytes / (image.size() * size_of), 1, most_images)),
          windows(p.out_height * p.out_width),
          copy_size(image.padded ? group * image.size() : 0),
          value_size(copy_size * (of_input ? 2 : 1) +
                     (one_channel ? 4 * (2 * p.out_height + 1) * (2 * p.out_width + 1) : 0)),
          word_size(one_channel ? 0 : (group * windows / kernels::windows_per_word + 1) * s.out_channels),
          channel_word_size(of_input ? 4 * windows * (s.out_channels / kernels::channels_per_word + 1) : 0),
          patch_size(one_channel ? 0 : group * windows * s.out_channels),
          values(static_cast<std::size_t>(threads * value_size)),
          words(static_cast<std::size_t>(threads * word_size)),
          patches(static_cast<std::size_t>(threads * patch_size)),
          channel_words(static_cast<std::size_t>(threads * channel_word_size)),
          places(static_cast<std::size_t>(one_channel ? 0 : group * windows)) {
        if (one_channel) return;
        for (index_t i = 0; i < group * windows; ++i) {
            const index_t row = i % windows / p.out_width, column = i % p.out_width;
            const index_t place = i / windows * image.size() + 2 * (row * image.row + column * s.in_channels);
            places.data()[i] = static_cast<std::int32_t>(place);
        }
    }

    static constexpr index_t size_of = static_cast<index_t>(sizeof(T));
    PaddedImage image;
    bool one_channel;
    index_t group, windows, copy_size, value_size, word_size, channel_word_size, patch_size;
    runtime::Buffer<T> values;
    runtime::Buffer<std::uint32_t> words, patches;
    runtime::Buffer<std::uint64_t> channel_words;
    runtime::Buffer<std::int32_t> places;  // of a group's windows, the same for all
};

// As SparseInputGradient has them.
template <class T>
void pack_weights(const Conv2dShape& s, const T* kernel, T* weights) {
    const auto& kernels = dispatch::active<T>();
    const index_t lanes = kernels.lanes;
    for (index_t tap = 0; tap < 9; ++tap)
        for (index_t c = 0; c < s.in_channels; c += lanes)
            kernels.transpose(lanes, s.out_channels, kernel + (tap * s.in_channels + c) * s.out_channels,
                              s.out_channels, weights + c * 9 * s.out_channels + tap * lanes, 9 * lanes);
}

// The gradients of one group of images; dx and dw may be null, dw is added to or not.
template <class T>
void add_group(const Conv2dShape& s, const Pool2dShape& p, const Work<T>& work, Range images, int thread, const T* x,
               const T* kernel, const T* grad, const std::uint8_t* codes, T* dx, T* dw, bool accumulate, T* sums) {
    const auto& kernels = dispatch::active<T>();
    const PaddedImage& image = work.image;
    const index_t image_size = image.inner_rows * image.inner_row, columns = s.out_channels;
    grad += images.begin * work.windows * columns;
    codes += images.begin * work.windows * columns;
    x += images.begin * image_size;
    T* result = dx ? dx + images.begin * image_size : nullptr;
    T* room = work.values.data() + thread * work.value_size;
    T* target = result;
    if (image.padded) {
        for (index_t n = 0; n < images.size(); ++n) image.copy_in(x + n * image_size, room + n * image.size());
        x = room;
        room += work.copy_size;
        if (dx) target = room;
    }
    if (work.one_channel) {
        kernels.sparse_pixel_gradient(
            {x, image.row, grad, codes, p.out_height, p.out_width, columns, dw, sums, room});
        return;
    }
    std::uint32_t* words = work.words.data() + thread * work.word_size;
    std::uint32_t* patches = work.patches.data() + thread * work.patch_size;
    const index_t windows = images.size() * work.windows;
    kernels.alive_windows({grad, codes, windows, columns, words, sums, work.places.data(),
                           static_cast<std::int32_t>(s.in_channels), static_cast<std::int32_t>(image.row), patches});
    if (dw)
        kernels.sparse_kernel_gradient(
            {grad, patches, windows, columns, words, x, image.row, s.in_channels, dw, accumulate});
    if (!dx) return;
    std::memset(target, 0, static_cast<std::size_t>(images.size() * image.size()) * sizeof(T));
    for (index_t n = 0; n < images.size(); ++n) {
        const index_t first = n * work.windows * columns;
        kernels.sparse_input_gradient({grad + first, codes + first, p.out_height, p.out_width, columns, kernel,
                                       s.in_channels, target + n * image.size(), image.row,
                                       work.channel_words.data() + thread * work.channel_word_size});
        if (image.padded) image.copy_out(target + n * image.size(), result + n * image_size);
    }
}

}  // namespace

template <class T>
bool has_sparse_gradients(const Conv2dShape& s, const Pool2dShape& p) {
    const index_t lanes = dispatch::active<T>().lanes;
    const bool addressable = PaddedImage(s).size() < std::numeric_limits<std::int32_t>::max() / 4;
    return has_codes(s, p) && s.kernel_height == 3 && s.kernel_width == 3 && addressable &&
           s.out_channels % lanes == 0 && (s.in_channels == 1 || (s.in_channels > 0 && s.in_channels % lanes == 0));
}

template <class T>
void sparse_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel, const T* grad,
                      const std::uint8_t* codes, T* dx, T* dkernel, T* dbias, int num_threads) {
    const index_t kernel_size = s.kernel_size(), depth = 9 * s.in_channels;
    if (s.batch == 0) {
        if (dkernel) std::fill_n(dkernel, kernel_size, T(0));
        if (dbias) std::fill_n(dbias, s.out_channels, T(0));
        return;
    }
    const Chunks chunks(s);
    const int threads = runtime::thread_count(chunks.count, s.multiplications() / 4, num_threads);
    const Work<T> work(s, p, chunks.images, dx != nullptr, threads);
    const runtime::Buffer<T> partials(static_cast<std::size_t>(chunks.count * chunks.size));
    const runtime::Buffer<T> weights(static_cast<std::size_t>(dx ? kernel_size : 0));
    if (dx) pack_weights(s, kernel, weights.data());

    runtime::parallel_for(chunks.count, threads, [&](index_t chunk, int thread) {
        T* dw = partials.data() + chunk * chunks.size;
        T* sums = dw + kernel_size;
        const index_t first = chunk * chunks.images, last = std::min(s.batch, first + chunks.images);
        std::fill_n(sums, s.out_channels, T(0));
        if (work.one_channel) std::fill_n(dw, kernel_size, T(0));
        for (index_t n = first; n < last; n += work.group)
            add_group(s, p, work, {n, std::min(last, n + work.group)}, thread, x, weights.data(), grad, codes, dx,
                      dkernel || work.one_channel ? dw : nullptr, n > first, sums);
    });
    if (dbias)
        add_partials(chunks.count, s.out_channels, chunks.size, partials.data() + kernel_size, dbias, num_threads);
    if (!dkernel) return;
    if (work.one_channel) {
        add_partials(chunks.count, kernel_size, chunks.size, partials.data(), dkernel, num_threads);
        return;
    }
    // The sums lie by output channel; the kernel has it last.
    const runtime::Buffer<T> sum(static_cast<std::size_t>(kernel_size));
    add_partials(chunks.count, kernel_size, chunks.size, partials.data(), sum.data(), num_threads);
    dispatch::active<T>().transpose(s.out_channels, depth, sum.data(), depth, dkernel, s.out_channels);
}

#define FASTCONV_INSTANTIATE(T)                                                                          \
    template bool has_sparse_gradients<T>(const Conv2dShape&, const Pool2dShape&);                       \
    template void sparse_gradients(const Conv2dShape&, const Pool2dShape&, const T*, const T*, const T*, \
                                   const std::uint8_t*, T*, T*, T*, int)
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
