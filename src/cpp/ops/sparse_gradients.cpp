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
constexpr index_t fewest_channels = 32;             // of a slice
constexpr index_t enough_items = 4;                 // of a thread: one more or less does not matter
constexpr index_t most_few = 4;                     // channels; their gradients are not sparse on the input side
constexpr index_t apart = 16;  // between rows of columns, so that a column is not all in a few sets of the cache

template <class T>
bool of_few_channels(const Conv2dShape& s) {
    const index_t taps = s.kernel_height;
    return s.in_channels > 0 && s.in_channels <= most_few && s.kernel_width == taps && (taps == 3 || taps == 5) &&
           (taps == 5 || s.in_channels % dispatch::active<T>().lanes != 0);
}

// Some channels of one image with the convolution's padding around them.
struct PaddedImage {
    PaddedImage(const Conv2dShape& s, index_t channels)
        : pixel(s.in_channels),
          slice(channels),
          rows(s.in_height + s.pad_top + s.pad_bottom),
          row((s.in_width + s.pad_left + s.pad_right) * slice),
          inner_row(s.in_width * slice),
          inner_rows(s.in_height),
          origin(s.pad_top * row + s.pad_left * slice),
          differs(slice < pixel || rows * row != inner_rows * inner_row) {}

    index_t size() const { return rows * row; }
    index_t image_size() const { return inner_rows * image_row(); }
    index_t image_row() const { return inner_row / slice * pixel; }

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
            copy_pixels((end - left) / slice, image + (h - top) * image_row(), pixel, target + left, slice);
            std::memset(target + end, 0, bytes(width - end));
        }
    }
    template <class T>
    void copy_out(const T* source, T* image) const {
        for (index_t h = 0; h < inner_rows; ++h)
            copy_pixels(inner_row / slice, source + origin + h * row, slice, image + h * image_row(), pixel);
    }

    index_t pixel, slice;  // elements of a pixel, and those that are here
    index_t rows, row, inner_row, inner_rows, origin;
    bool differs;  // from the image

  private:
    template <class T>
    void copy_pixels(index_t count, const T* in, index_t in_stride, T* out, index_t out_stride) const {
        const bool together = slice == pixel;
        const index_t runs = together ? 1 : count, length = together ? count * slice : slice;
        for (index_t i = 0; i < runs; ++i)
            std::memcpy(out + i * out_stride, in + i * in_stride, static_cast<std::size_t>(length) * sizeof(T));
    }
};

// Chunks of images with sums of their own: [9 taps x channels of the kernel][bias] each.
struct Chunks {
    Chunks(const Conv2dShape& s)
        : images((s.batch + most_chunks - 1) / most_chunks),
          count((s.batch + images - 1) / images),
          size(s.kernel_size() + s.out_channels) {}
    index_t images, count, size;
};

// Input channels of an item, and those of them whose patches are walked at once.
struct Slices {
    index_t item, walked;
};

template <class T>
index_t seen_bytes(const Conv2dShape& s, const Pool2dShape& p) {
    return (2 * p.out_height + s.kernel_height - 1) * (2 * p.out_width + s.kernel_width - 1) * s.in_channels *
           static_cast<index_t>(sizeof(T));
}

// Where chunks cannot be dealt out evenly, threads share the channels; every item finds the windows again. Of images
// that leave the first-level cache few channels are walked at once: each output channel walks them again. Kernel
// gradients, batch 4, ms with all channels at once and with 32 (Zen 4, AVX-512, 1 thread):
//
//   112x112x128 -> 128   97  89      28x28x512 -> 512   86  53
//    56x56x256 -> 256    66  49      14x14x512 -> 512   25  14
template <class T>
Slices slices_of(const Conv2dShape& s, const Pool2dShape& p, index_t chunks, int threads) {
    const index_t lanes = dispatch::active<T>().lanes;
    const auto halves = [&](index_t slice) { return slice >= 2 * fewest_channels && slice % (2 * lanes) == 0; };
    index_t item = s.in_channels;
    for (index_t items = chunks; items % threads != 0 && items < enough_items * threads && halves(item); items *= 2)
        item /= 2;
    index_t walked = item;
    while (seen_bytes<T>(s, p) > group_bytes && halves(walked)) walked /= 2;
    return {item, walked};
}

// Images that a thread has in hand together, and its room for them. Those whose patches are walked are read where
// they are, or copied as far as the windows see them: with padding, or because vectors of x lie in two cache lines,
// which take two loads each (13x13x32 -> 64, batch 128, 94 % of the windows alive: 1.07 instead of 0.79 ms), or
// because only some of their channels are walked at once.
template <class T>
struct Work {
    Work(const Conv2dShape& s, const Pool2dShape& p, const T* x, index_t most_images, Slices slices, bool of_input,
         int threads)
        : image(s, slices.walked),
          gradient(s, slices.item),
          few(of_few_channels<T>(s)),
          copied(image.differs || (!few && reinterpret_cast<std::uintptr_t>(x) % runtime::block_alignment != 0)),
          seen_rows(2 * p.out_height + s.kernel_height - 1),
          seen_row((2 * p.out_width + s.kernel_width - 1) * image.slice),
          row(copied ? seen_row : image.row),
          size(copied ? seen_rows * seen_row : image.size()),
          group(few ? 1 : std::clamp<index_t>(group_bytes / seen_bytes<T>(s, p), 1, most_images)),
          windows(p.out_height * p.out_width),
          copy_size(copied ? group * size : 0),
          dx_size(of_input && gradient.differs ? gradient.size() : 0),
          spare_size(gradient.slice < s.in_channels ? s.out_channels : 0),
          quad_row(4 * (2 * p.out_width + s.kernel_width - 2)),
          band(std::clamp<index_t>(quad_bytes / (2 * quad_row * size_of), 1, p.out_height)),
          value_size(spare_size + copy_size + dx_size + (few ? quad_row * (2 * band + s.kernel_height - 2) : 0)),
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
            places.data()[i] = static_cast<std::int32_t>(i / windows * size + 2 * (at * row + column * image.slice));
        }
    }

    static constexpr index_t size_of = static_cast<index_t>(sizeof(T));
    PaddedImage image, gradient;  // as it is walked, and that of an item
    bool few, copied;
    index_t seen_rows, seen_row;  // what the windows see of an image
    index_t row, size;            // of an image where it is walked
    index_t group, windows, copy_size, dx_size;
    index_t spare_size;  // sums of gradients that another item gives
    index_t quad_row, band, value_size, stride, word_size, channel_word_size, entry_size;
    runtime::Buffer<T> values, kept;
    runtime::Buffer<std::uint32_t> words, patches;
    runtime::Buffer<std::uint64_t> channel_words;
    runtime::Buffer<std::int32_t> places;  // of a group's windows, the same for all
};

// The kernels have weights as [c / lanes][k][tap][c % lanes], the caller as [tap][c][k].
template <class T, class Transpose>
void for_vectors(const Conv2dShape& s, int num_threads, const Transpose& transpose) {
    const index_t lanes = dispatch::active<T>().lanes, columns = s.out_channels, vectors = s.in_channels / lanes;
    const double work = runtime::work_of_memory * static_cast<double>(s.kernel_size());
    runtime::parallel_for(vectors, runtime::thread_count(vectors, work, num_threads), [&](index_t vector, int) {
        const index_t c = vector * lanes;
        for (index_t tap = 0; tap < 9; ++tap)
            transpose(lanes, columns, (tap * s.in_channels + c) * columns, c * 9 * columns + tap * lanes);
    });
}

template <class T>
void pack_weights(const Conv2dShape& s, const T* kernel, T* weights, int num_threads) {
    for_vectors<T>(s, num_threads, [&](index_t lanes, index_t columns, index_t from, index_t to) {
        dispatch::active<T>().transpose(lanes, columns, kernel + from, columns, weights + to, 9 * lanes);
    });
}

template <class T>
void unpack_weights(const Conv2dShape& s, const T* weights, T* kernel, int num_threads) {
    for_vectors<T>(s, num_threads, [&](index_t lanes, index_t columns, index_t to, index_t from) {
        dispatch::active<T>().transpose(columns, lanes, weights + from, 9 * lanes, kernel + to, columns);
    });
}

// The gradients of one group of images with respect to an item's channels, the first of which is `channel`; dx and dw
// may be null, dw is added to or not.
template <class T>
void add_group(const Conv2dShape& s, const Pool2dShape& p, const Work<T>& work, Range images, index_t channel,
               int thread, const T* x, const T* kernel, const T* grad, const std::uint8_t* codes, T* dx, T* dw,
               bool accumulate, T* sums) {
    const auto& kernels = dispatch::active<T>();
    const PaddedImage &image = work.image, &gradient = work.gradient;
    const index_t image_size = image.image_size(), columns = s.out_channels;
    grad += images.begin * work.windows * columns;
    codes += images.begin * work.windows * columns;
    x += images.begin * image_size + channel;
    T* room = work.values.data() + thread * work.value_size;
    if (channel > 0) sums = room;
    room += work.spare_size;
    T* const copy = room;
    room += work.copy_size;
    const auto walked = [&](index_t first) {
        for (index_t n = 0; work.copied && n < images.size(); ++n)
            image.copy_in(x + first + n * image_size, work.seen_rows, work.row, copy + n * work.size);
        return work.copied ? copy : x;
    };
    if (work.few) {
        x = walked(0);
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
                           static_cast<std::int32_t>(image.slice), static_cast<std::int32_t>(work.row), patches, kept,
                           work.stride});
    for (index_t first = 0; dw && first < gradient.slice; first += image.slice)
        kernels.sparse_kernel_gradient({kept, patches, work.stride, windows, columns, words, walked(first), work.row,
                                        image.slice, dw + (channel + first) * 9 * columns, accumulate});
    if (!dx) return;
    for (index_t n = 0; n < images.size(); ++n) {
        const index_t first = n * work.windows * columns;
        T* result = dx + (images.begin + n) * image_size + channel;
        T* target = gradient.differs ? room : result;
        std::memset(target, 0, static_cast<std::size_t>(gradient.size()) * sizeof(T));
        kernels.sparse_input_gradient({grad + first, codes + first, p.out_height, p.out_width, columns,
                                       kernel + channel * 9 * columns, gradient.slice, target, gradient.row,
                                       work.channel_words.data() + thread * work.channel_word_size});
        if (gradient.differs) gradient.copy_out(target, result);
    }
}

}  // namespace

template <class T>
bool has_sparse_gradients(const Conv2dShape& s, const Pool2dShape& p) {
    const index_t lanes = dispatch::active<T>().lanes;
    const bool addressable = PaddedImage(s, s.in_channels).size() < std::numeric_limits<std::int32_t>::max() / 4;
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
    const index_t most_slices = pieces(s.in_channels, fewest_channels);
    const int threads = runtime::thread_count(chunks.count * most_slices, s.multiplications() / 4, num_threads);
    const Slices slices = slices_of<T>(s, p, chunks.count, threads);
    const Work<T> work(s, p, x, chunks.images, slices, dx != nullptr, threads);
    const runtime::Buffer<T> partials(static_cast<std::size_t>(chunks.count * chunks.size));
    const runtime::Buffer<T> weights(static_cast<std::size_t>(dx ? kernel_size : 0));
    if (dx) pack_weights(s, kernel, weights.data(), num_threads);

    const index_t items_of_chunk = s.in_channels / slices.item;
    runtime::parallel_for(chunks.count * items_of_chunk, threads, [&](index_t item, int thread) {
        const index_t chunk = item / items_of_chunk, channel = item % items_of_chunk * slices.item;
        T* dw = partials.data() + chunk * chunks.size;
        T* sums = dw + kernel_size;
        const index_t first = chunk * chunks.images, last = std::min(s.batch, first + chunks.images);
        if (channel == 0) std::fill_n(sums, s.out_channels, T(0));
        if (work.few) std::fill_n(dw, kernel_size, T(0));
        for (index_t n = first; n < last; n += work.group)
            add_group(s, p, work, {n, std::min(last, n + work.group)}, channel, thread, x, weights.data(), grad,
                      codes, dx, dkernel || work.few ? dw : nullptr, n > first, sums);
    });
    if (dbias)
        add_partials(chunks.count, s.out_channels, chunks.size, partials.data() + kernel_size, dbias, num_threads);
    if (!dkernel) return;
    if (work.few) {
        add_partials(chunks.count, kernel_size, chunks.size, partials.data(), dkernel, num_threads);
        return;
    }
    const bool several = chunks.count > 1;
    const runtime::Buffer<T> sum(static_cast<std::size_t>(several ? kernel_size : 0));
    if (several) add_partials(chunks.count, kernel_size, chunks.size, partials.data(), sum.data(), num_threads);
    unpack_weights(s, several ? sum.data() : partials.data(), dkernel, num_threads);
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
