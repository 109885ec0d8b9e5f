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
constexpr index_t group_bytes = index_t{48} << 10;  // images whose patches are visited together stay near the core
constexpr index_t quad_bytes = index_t{24} << 10;   // of few channels: windows whose quads stay in the first level
constexpr index_t most_few = 4;                     // channels; their gradients are not sparse on the input side
constexpr index_t apart = 16;  // between rows of columns, so that a column is not all in a few sets of the cache

template <class T>
bool of_few_channels(const Conv2dShape& s) {
    const index_t taps = s.kernel_height;
    return s.in_channels > 0 && s.in_channels <= most_few && s.kernel_width == taps && (taps == 3 || taps == 5) &&
           (taps == 5 || s.in_channels % dispatch::active<T>().lanes != 0);
}

// One image with the convolution's padding around it.
struct PaddedImage {
    explicit PaddedImage(const Conv2dShape& s)
        : rows(s.in_height + s.pad_top + s.pad_bottom),
          row((s.in_width + s.pad_left + s.pad_right) * s.in_channels),
          inner_row(s.in_width * s.in_channels),
          inner_rows(s.in_height),
          origin(s.pad_top * row + s.pad_left * s.in_channels),
          padded(rows * row != inner_rows * inner_row) {}

    index_t size() const { return rows * row; }
    index_t inner_size() const { return inner_rows * inner_row; }

    // The first `height` rows and `width` elements of each, one after the other.
    template <class T>
    void copy_in(const T* image, index_t height, index_t width, T* target) const {
        const index_t top = origin / row, left = origin % row, end = std::min(left + inner_row, width);
        const auto bytes = [](index_t size) { return static_cast<std::size_t>(size) * sizeof(T); };
        for (index_t h = 0; h < height; ++h, target += width) {
            if (h < top || h >= top + inner_rows || end <= left) {
                std::memset(target, 0, bytes(width));
                continue;
            }
            std::memset(target, 0, bytes(left));
            std::memcpy(target + left, image + (h - top) * inner_row, bytes(end - left));
            std::memset(target + end, 0, bytes(width - end));
        }
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

// Images that a thread has in hand together, and its room for them. Those whose patches are walked are read where
// they are, or copied as far as the windows see them: with padding, or because vectors of x lie in two cache lines,
// which take two loads each (13x13x32 -> 64, batch 128, 94 % of the windows alive: 1.07 instead of 0.79 ms).
template <class T>
struct Work {
    Work(const Conv2dShape& s, const Pool2dShape& p, const T* x, index_t most_images, bool of_input, int threads)
        : image(s),
          few(of_few_channels<T>(s)),
          copied(image.padded || (!few && reinterpret_cast<std::uintptr_t>(x) % runtime::block_alignment != 0)),
          seen_rows(2 * p.out_height + s.kernel_height - 1),
          seen_row((2 * p.out_width + s.kernel_width - 1) * s.in_channels),
          row(copied ? seen_row : image.row),
          size(copied ? seen_rows * seen_row : image.size()),
          group(few ? 1 : std::clamp<index_t>(group_bytes / (seen_rows * seen_row * size_of), 1, most_images)),
          windows(p.out_height * p.out_width),
          copy_size(copied ? group * size : 0),
          dx_size(of_input && image.padded ? image.size() : 0),
          quad_row(4 * (2 * p.out_width + s.kernel_width - 2)),
          band(std::clamp<index_t>(quad_bytes / (2 * quad_row * size_of), 1, p.out_height)),
          value_size(copy_size + dx_size + (few ? quad_row * (2 * band + s.kernel_height - 2) : 0)),
          stride(s.out_channels + apart),
          word_size(few ? 0 : (group * windows / kernels::windows_per_word + 1) * s.out_channels),
          channel_word_size(of_input ? 4 * windows * (s.out_channels / kernels::channels_per_word + 1) : 0),
          entry_size(few ? 0 : group * windows * stride),
          values(static_cast<std::size_t>(threads * value_size)),
          kept(static_cast<std::size_t>(threads * entry_size)),
          words(static_cast<std::size_t>(threads * word_size)),
          patches(static_cast<std::size_t>(threads * entry_size)),
          channel_words(static_cast<std::size_t>(threads * channel_word_size)),
          places(static_cast<std::size_t>(few ? 0 : group * windows)) {
        if (few) return;
        for (index_t i = 0; i < group * windows; ++i) {
            const index_t at = i % windows / p.out_width, column = i % p.out_width;
            places.data()[i] =
                static_cast<std::int32_t>(i / windows * size + 2 * (at * row + column * s.in_channels));
        }
    }

    static constexpr index_t size_of = static_cast<index_t>(sizeof(T));
    PaddedImage image;
    bool few, copied;
    index_t seen_rows, seen_row;  // what the windows see of an image
    index_t row, size;            // of an image where it is walked
    index_t group, windows, copy_size, dx_size, quad_row, band, value_size, stride, word_size, channel_word_size,
        entry_size;
    runtime::Buffer<T> values, kept;
    runtime::Buffer<std::uint32_t> words, patches;
    runtime::Buffer<std::uint64_t> channel_words;
    runtime::Buffer<std::int32_t> places;  // of a group's windows, the same for all
};

// The kernels have weights as [c / lanes][k][tap][c % lanes], the caller as [tap][c][k].
template <class T>
void pack_weights(const Conv2dShape& s, const T* kernel, T* weights) {
    const auto& kernels = dispatch::active<T>();
    const index_t lanes = kernels.lanes, columns = s.out_channels;
    for (index_t tap = 0; tap < 9; ++tap)
        for (index_t c = 0; c < s.in_channels; c += lanes)
            kernels.transpose(lanes, columns, kernel + (tap * s.in_channels + c) * columns, columns,
                              weights + c * 9 * columns + tap * lanes, 9 * lanes);
}

template <class T>
void unpack_weights(const Conv2dShape& s, const T* weights, T* kernel) {
    const auto& kernels = dispatch::active<T>();
    const index_t lanes = kernels.lanes, columns = s.out_channels;
    for (index_t tap = 0; tap < 9; ++tap)
        for (index_t c = 0; c < s.in_channels; c += lanes)
            kernels.transpose(columns, lanes, weights + c * 9 * columns + tap * lanes, 9 * lanes,
                              kernel + (tap * s.in_channels + c) * columns, columns);
}

// The gradients of one group of images; dx and dw may be null, dw is added to or not.
template <class T>
void add_group(const Conv2dShape& s, const Pool2dShape& p, const Work<T>& work, Range images, int thread, const T* x,
               const T* kernel, const T* grad, const std::uint8_t* codes, T* dx, T* dw, bool accumulate, T* sums) {
    const auto& kernels = dispatch::active<T>();
    const PaddedImage& image = work.image;
    const index_t image_size = image.inner_size(), columns = s.out_channels;
    grad += images.begin * work.windows * columns;
    codes += images.begin * work.windows * columns;
    x += images.begin * image_size;
    T* room = work.values.data() + thread * work.value_size;
    if (work.copied && dw) {
        for (index_t n = 0; n < images.size(); ++n)
            image.copy_in(x + n * image_size, work.seen_rows, work.row, room + n * work.size);
        x = room;
    }
    room += work.copy_size;
    if (work.few) {
        for (index_t row = 0; row < p.out_height; row += work.band) {
            const index_t first = row * p.out_width * columns;
            kernels.sparse_pixel_gradient({x + 2 * row * work.row, work.row, s.in_channels, s.kernel_height,
                                           grad + first, codes + first, std::min(work.band, p.out_height - row),
                                           p.out_width, columns, dw, sums, room});
        }
        return;
    }
    std::uint32_t* words = work.words.data() + thread * work.word_size;
    std::uint32_t* patches = work.patches.data() + thread * work.entry_size;
    T* kept = work.kept.data() + thread * work.entry_size;
    const index_t windows = images.size() * work.windows;
    kernels.alive_windows({grad, codes, windows, columns, words, sums, work.places.data(),
                           static_cast<std::int32_t>(s.in_channels), static_cast<std::int32_t>(work.row), patches,
                           kept, work.stride});
    if (dw)
        kernels.sparse_kernel_gradient(
            {kept, patches, work.stride, windows, columns, words, x, work.row, s.in_channels, dw, accumulate});
    if (!dx) return;
    for (index_t n = 0; n < images.size(); ++n) {
        const index_t first = n * work.windows * columns;
        T* result = dx + (images.begin + n) * image_size;
        T* target = image.padded ? room : result;
        std::memset(target, 0, static_cast<std::size_t>(image.size()) * sizeof(T));
        kernels.sparse_input_gradient({grad + first, codes + first, p.out_height, p.out_width, columns, kernel,
                                       s.in_channels, target, image.row,
                                       work.channel_words.data() + thread * work.channel_word_size});
        if (image.padded) image.copy_out(target, result);
    }
}

}  // namespace

template <class T>
bool has_sparse_gradients(const Conv2dShape& s, const Pool2dShape& p) {
    const index_t lanes = dispatch::active<T>().lanes;
    const bool addressable = PaddedImage(s).size() < std::numeric_limits<std::int32_t>::max() / 4;
    const bool whole_vectors = s.kernel_height == 3 && s.kernel_width == 3 && s.in_channels % lanes == 0;
    return has_codes(s, p) && addressable && s.in_channels > 0 && s.out_channels % lanes == 0 &&
           (whole_vectors || of_few_channels<T>(s));
}

template <class T>
bool has_sparse_input_gradient(const Conv2dShape& s, const Pool2dShape& p) {
    return has_sparse_gradients<T>(s, p) && !of_few_channels<T>(s);
}

template <class T>
void sparse_gradients(const Conv2dShape& s, const Pool2dShape& p, const T* x, const T* kernel, const T* grad,
                      const std::uint8_t* codes, T* dx, T* dkernel, T* dbias, int num_threads) {
    const index_t kernel_size = s.kernel_size();
    if (s.batch == 0) {
        if (dkernel) std::fill_n(dkernel, kernel_size, T(0));
        if (dbias) std::fill_n(dbias, s.out_channels, T(0));
        return;
    }
    const Chunks chunks(s);
    const int threads = runtime::thread_count(chunks.count, s.multiplications() / 4, num_threads);
    const Work<T> work(s, p, x, chunks.images, dx != nullptr, threads);
    const runtime::Buffer<T> partials(static_cast<std::size_t>(chunks.count * chunks.size));
    const runtime::Buffer<T> weights(static_cast<std::size_t>(dx ? kernel_size : 0));
    if (dx) pack_weights(s, kernel, weights.data());

    runtime::parallel_for(chunks.count, threads, [&](index_t chunk, int thread) {
        T* dw = partials.data() + chunk * chunks.size;
        T* sums = dw + kernel_size;
        const index_t first = chunk * chunks.images, last = std::min(s.batch, first + chunks.images);
        std::fill_n(sums, s.out_channels, T(0));
        if (work.few) std::fill_n(dw, kernel_size, T(0));
        for (index_t n = first; n < last; n += work.group)
            add_group(s, p, work, {n, std::min(last, n + work.group)}, thread, x, weights.data(), grad, codes, dx,
                      dkernel || work.few ? dw : nullptr, n > first, sums);
    });
    if (dbias)
        add_partials(chunks.count, s.out_channels, chunks.size, partials.data() + kernel_size, dbias, num_threads);
    if (!dkernel) return;
    if (work.few) {
        add_partials(chunks.count, kernel_size, chunks.size, partials.data(), dkernel, num_threads);
        return;
    }
    const runtime::Buffer<T> sum(static_cast<std::size_t>(kernel_size));
    add_partials(chunks.count, kernel_size, chunks.size, partials.data(), sum.data(), num_threads);
    unpack_weights(s, sum.data(), dkernel);
}

#define FASTCONV_INSTANTIATE(T)                                                                          \
    template bool has_sparse_gradients<T>(const Conv2dShape&, const Pool2dShape&);                       \
    template bool has_sparse_input_gradient<T>(const Conv2dShape&, const Pool2dShape&);                  \
    template void sparse_gradients(const Conv2dShape&, const Pool2dShape&, const T*, const T*, const T*, \
                                   const std::uint8_t*, T*, T*, T*, int)
FASTCONV_INSTANTIATE(float);
FASTCONV_INSTANTIATE(double);
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::ops
