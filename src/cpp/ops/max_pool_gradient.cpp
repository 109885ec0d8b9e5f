// The gradient of max pooling. It is told where the maxima are, not what windows they were sought in: that is found
// out from some of them. Where windows of that kind account for all maxima of an image, its gradient is gathered;
// where they do not, each value is added where it belongs.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/gradient_strips.hpp"

namespace fastconv::ops {
namespace {

// Looking for the windows is not worth while below.
constexpr index_t fewest_maxima = 4096;
constexpr index_t samples = 128;
// Gathering compares each element of dx with the maxima of all windows around it. To clear dx and add each maximum
// where it belongs is faster where nearly all of dx stays zero (7x7x2048 global: 0.34 instead of 0.43 ms), and where
// windows overlap at a stride (55x55x96, 3x3, stride 2, batch 16: 2.3 instead of 3.5 ms) but for windows_meet, which
// have a kernel of their own (0.5 instead of 0.8 ms); not at stride 1 (28x28x64, 3x3, batch 16: 0.9 instead of 0.75
// ms).
constexpr index_t most_windows = 16, fewest_zeros = 16;

struct AxisGuess {
    index_t stride, lowest = 0, highest = 0;

    AxisGuess(index_t in_length, index_t out_length)
        : stride(out_length == 1 ? std::max<index_t>(1, in_length)
                                 : std::max<index_t>(1, (2 * in_length + out_length) / (2 * out_length))) {}
    void see(index_t position, index_t window) {
        lowest = std::min(lowest, position - window * stride);
        highest = std::max(highest, position - window * stride);
    }
    index_t size() const { return highest - lowest + 1; }
    index_t windows_of_element() const { return (size() + stride - 1) / stride; }
};

// Whether each window meets its neighbours in one row or column of pixels. Vectors of 16 bytes are no faster than
// adding each maximum where it belongs (the four layers of benchmarks/README.md: 0.4 to 1.0 times the speed).
template <class T>
bool windows_meet(const Pool2dShape& s) {
    return s.pool_height == 3 && s.pool_width == 3 && s.stride_height == 2 && s.stride_width == 2 &&
           dispatch::active<T>().lanes * sizeof(T) > 16;
}

// The smallest windows that hold the maxima looked at. Not seeing all of them costs time, never correctness.
template <class T>
std::optional<Pool2dShape> probable_windows(const PoolSizes& s, const std::int64_t* argmax) {
    const index_t total = s.output_size(), image_size = s.in_height * s.in_width * s.channels;
    if (total < fewest_maxima || image_size >= (index_t{1} << 31)) return {};
    AxisGuess rows(s.in_height, s.out_height), columns(s.in_width, s.out_width);
    // Steps near the golden ratio spread evenly over images, rows and columns. Divisions take longer than all else:
    // the step is divided once, quotients of less than 2**31 are products with an inverse and half of one more.
    const index_t step = static_cast<index_t>(static_cast<double>(total) * 0.618) | 1;
    const index_t channel_step = step % s.channels, column_step = step / s.channels % s.out_width;
    const index_t row_step = step / s.channels / s.out_width % s.out_height;
    const double channels = 1 / static_cast<double>(s.channels), width = 1 / static_cast<double>(s.in_width);
    index_t channel = 0, row = 0, column = 0;
    const auto advance = [](index_t& digit, index_t by, index_t base) {
        digit += by;
        const bool carry = digit >= base;
        if (carry) digit -= base;
        return carry;
    };
    for (index_t k = 0, i = 0; k < samples; ++k, i += i + step < total ? step : step - total) {
        const index_t position = argmax[i];
        if (static_cast<std::uint64_t>(position) >= static_cast<std::uint64_t>(image_size)) return {};
        const auto pixel = static_cast<index_t>((static_cast<double>(position) + 0.5) * channels);
        const auto pixel_row = static_cast<index_t>((static_cast<double>(pixel) + 0.5) * width);
        rows.see(pixel_row, row);
        columns.see(pixel - pixel_row * s.in_width, column);
        const bool next_pixel = advance(channel, channel_step, s.channels);
        const bool next_row = advance(column, column_step + next_pixel, s.out_width);
        advance(row, row_step + next_row, s.out_height);
    }
    Pool2dGeometry windows{rows.size(), columns.size(), rows.stride, columns.stride, 1, 1};
    windows.pad_top = -rows.lowest;
    windows.pad_left = -columns.lowest;
    const index_t met = rows.windows_of_element() * columns.windows_of_element();
    const index_t apart = rows.stride * columns.stride;
    const Pool2dShape shape{windows, s};
    if (windows_meet<T>(shape)) return shape;
    if (met > most_windows || apart > fewest_zeros || (met > 1 && apart > 1)) return {};
    return shape;
}

// The gradient for windows that meet; found(n, count) as of gradient_of_windows_apart.
template <class T, class Found>
void gradient_of_meeting_windows(const Pool2dShape& s, const T* grad, const std::int64_t* argmax, T* dx,
                                 int num_threads, const Found& found) {
    const index_t row = s.in_width * s.channels, from_row = s.out_width * s.channels;
    const index_t pairs = (s.in_height + s.pad_top + 1) / 2, room_size = 6 * s.channels;
    const int threads = gradient_threads(s, num_threads);
    const runtime::Buffer<T> room(static_cast<std::size_t>(threads * room_size));
    const bool stream = streams_gradient(s, dx);
    runtime::parallel_for(s.batch * pairs, threads, [&](index_t item, int thread) {
        const index_t n = item / pairs, i = item % pairs, top = 2 * i - s.pad_top;
        T* image = dx + n * s.in_height * row;
        const auto windows = [&](index_t h) -> typename kernels::MeetingWindows<T>::Windows {
            if (h < 0 || h >= s.out_height) return {nullptr, nullptr};
            const index_t first = (n * s.out_height + h) * from_row;
            return {grad + first, argmax + first};
        };
        const auto target = [&](index_t h) { return h < 0 || h >= s.in_height ? nullptr : image + h * row; };
        const kernels::MeetingWindows<T> pair = {windows(i - 1), windows(i),
                                                 s.out_width,    s.channels,
                                                 s.pad_left,     {target(top), target(top + 1)},
                                                 s.in_width,     row,
                                                 top * row,      room.data() + thread * room_size,
                                                 stream};
        found(n, dispatch::active<T>().meeting_windows_gradient(pair));
    });
}

// found[n] of the maxima of image n were in the windows of `s`.
template <class T>
void gather(const Pool2dShape& s, const T* grad, const std::int64_t* argmax, T* dx,
            std::vector<std::atomic<index_t>>& found, int num_threads) {
    const auto add = [&](index_t n, index_t count) { found[static_cast<std::size_t>(n)] += count; };
    if (windows_are_apart<T>(s)) return gradient_of_windows_apart(s, grad, argmax, dx, num_threads, add);
    if (windows_meet<T>(s)) return gradient_of_meeting_windows(s, grad, argmax, dx, num_threads, add);

    using Place = kernels::place_t<T>;
    const auto& kernels = dispatch::active<T>();
    const GradientStrips strips(s);
    const index_t image = s.in_height * s.in_width * s.channels, row = s.out_width * s.channels;
    const index_t maxima = s.out_height * row;
    const auto narrow = [&](index_t n, Range windows, Place* places) {
        kernels.narrow_places(windows.size() * row, argmax + n * maxima + windows.begin * row, places);
    };
    for_gradient_bands<Place>(s, strips, num_threads, narrow, [&](index_t n, Range rows, const Place* places) {
        index_t sum = 0;
        for (index_t h = rows.begin; h < rows.end; ++h)
            strips.for_row(h, [&](const GradientStrip& strip) {
                sum += kernels.max_pool_gradient({grad + n * maxima + strip.from, places + strip.from,
                                                  strip.from_stride, strip.offsets, strip.windows, strip.pixels,
                                                  s.channels, dx + n * image + strip.to, strip.to_stride, strip.to});
            });
        add(n, sum);
    });
}

}  // namespace

template <class T>
void max_pool2d_gradient(const PoolSizes& s, const T* grad, const std::int64_t* argmax, T* dx, int num_threads) {
    const index_t windows = s.out_height * s.out_width * s.channels,
                  image_size = s.in_height * s.in_width * s.channels;
    std::vector<std::atomic<index_t>> found;
    if (s.channels >= dispatch::active<T>().lanes) {
        if (const auto shape = probable_windows<T>(s, argmax)) {
            found = std::vector<std::atomic<index_t>>(static_cast<std::size_t>(s.batch));
            gather(*shape, grad, argmax, dx, found, num_threads);
        }
    }
    const auto whole = [&](const std::atomic<index_t>& count) { return count == windows; };
    if (!found.empty() && std::all_of(found.begin(), found.end(), whole)) return;
    std::atomic<bool> outside{false};
    runtime::parallel_for(s.batch, gradient_threads(s, num_threads), [&](index_t n, int) {
        if (!found.empty() && whole(found[static_cast<std::size_t>(n)])) return;
        T* image = dx + n * image_size;
        std::memset(image, 0, static_cast<std::size_t>(image_size) * sizeof(T));
        for (index_t i = n * windows; i < (n + 1) * windows; ++i) {
            const index_t position = argmax[i];
            if (position < 0 || position >= image_size) {
                outside = true;
                return;
            }
            image[position] += grad[i];
        }
    });
    if (outside)
        throw std::invalid_argument("argmax must lie inside the image, expected indices in [0, " +
                                    std::to_string(image_size) + ")");
}

template void max_pool2d_gradient(const PoolSizes&, const float*, const std::int64_t*, float*, int);
template void max_pool2d_gradient(const PoolSizes&, const double*, const std::int64_t*, double*, int);

}  // namespace fastconv::ops
