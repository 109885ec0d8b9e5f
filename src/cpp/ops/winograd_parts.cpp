#include "ops/winograd_parts.hpp"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "ops/streaming.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t most_rows = 16;  // of tiles in a band
constexpr index_t items_of_thread = 16;

// Times as fast as direct sums: multiply-adds of these for a row of tiles, by vectors of filters, over the products
// and what goes with them: for each vector of a tile its transform and stores, as much as `tile_cost` products, and
// for each run of tiles the transform of inputs, as much as `run_cost` products for an entry. Zen 4, AVX-512,
// float32, 1 thread, batch 8 to 128:
//
//   kernel                measured  expected     kernel                measured  expected
//   7x7/2    3 -> 64  224      1.5      1.32     5x5/2    4 -> 16   32      0.6      0.61
//   11x11/4  3 -> 64  224      1.5      1.57     7x7/2    4 -> 16   64      0.9      0.91
//   7x7      3 -> 64  112      1.5      1.32     8x8/4    3 -> 64   64      0.9      1.08
//   6x6/2    4 -> 64   64      1.6      1.5      5x5      1 -> 32   28      0.8      0.71
//   5x5      3 -> 64   32      1.35     1.23     3x3/2    3 -> 32  224      0.8      0.60
//   5x5/2    3 -> 64  112      1.2      1.20     4x4/4    3 -> 64   64      0.6      0.4
//   11x11    1 -> 64   28      1.2      1.24     7x7/2    3 -> 64    8      0.3      0.3
constexpr double tile_cost = 60, enough = 1.15;

}  // namespace

template <class T>
std::optional<WinogradParts<T>> WinogradParts<T>::forward(const Conv2dShape& s, const T* kernel) {
    if (dispatch::active<T>().winograd_parts == nullptr || !parts_serve<T>(s) || parts_gain<T>(s, tile_cost) < enough)
        return {};
    return WinogradParts(s, kernel);
}

template <class T>
WinogradParts<T>::WinogradParts(const Conv2dShape& s, const T* kernel)
    : s_(s), input_(s), weights_(s, input_.rows(), input_.columns(), kernel, dispatch::active<T>().lanes) {}

template <class T>
std::uint32_t WinogradParts<T>::run_rows(index_t image, Range runs, Range rows, bool follows, const T* x,
                                         const T* bias, Activation activation, T* y, T* scratch, int thread,
                                         bool stream) const {
    const T* const weights = weights_.of_thread(thread);
    const Strides out = dense_strides(s_.out_height, s_.out_width, s_.out_channels);
    std::uint32_t unfit = 0;
    y += image * out.image;
    x += image * s_.in_height * s_.in_width * s_.in_channels;
    T* const room = scratch + input_.buffer_size();
    input_.for_tiles(
        x, runs, rows, follows, scratch, [&] { return room; },
        [&](index_t row, Range run, const T* v) {
            const bool finite = dispatch::active<T>().winograd_parts(
                {v, weights, input_.depths(), input_.entries(), run.size(), s_.out_channels, bias, activation,
                 y + 2 * row * out.row + 2 * run.begin * out.pixel, std::min<index_t>(2, s_.out_height - 2 * row),
                 std::min(2 * run.size(), s_.out_width - 2 * run.begin), out.row, out.pixel, stream});
            unfit |= std::uint32_t{!finite} << (row - rows.begin);
        });
    return unfit;
}

template <class T>
void WinogradParts<T>::run(Range rows, const std::vector<Contraction<T>>& direct, const T* x, const T* bias,
                           Activation activation, T* y, T* scratch) const {
    for (index_t first = rows.begin, last; first < rows.end; first = last) {
        const index_t image = first / tile_rows(), row = first % tile_rows();
        last = std::min({rows.end, first + most_rows, (image + 1) * tile_rows()});
        const std::uint32_t unfit = run_rows(image, input_.runs(), {row, row + last - first}, false, x, bias,
                                             activation, y, scratch, 0, false);
        for (index_t i = 0; i < last - first; ++i)
            if (unfit >> i & 1)
                run_groups(direct, 1, {2 * (row + i), std::min(2 * (row + i + 1), s_.out_height)},
                           x + image * s_.in_height * s_.in_width * s_.in_channels,
                           y + image * s_.out_height * s_.out_width * s_.out_channels, 0, bias, activation);
    }
}

template <class T>
bool WinogradParts<T>::run_all(const T* x, const T* bias, Activation activation, T* y, int num_threads) {
    const index_t all_rows = s_.batch * tile_rows(), size = scratch_size(), element = sizeof(T);
    const double work = static_cast<double>(all_rows * input_.tiles() * input_.entries() * s_.out_channels);
    const index_t runs = input_.runs().size();
    const int threads = runtime::thread_count(all_rows, work, num_threads);
    const index_t rows =
        std::min(most_rows, threads > 1 ? pieces(all_rows * runs, items_of_thread * threads) : most_rows);
    const Cut bands(tile_rows(), rows, 1);
    weights_.prepare_each(threads);
    const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * size));
    const bool stream = vectors_are_lines<T>() && streams(y, s_.output_size() * element, streamed_bytes_of_sums);
    std::atomic<bool> finite{true};
    // A thread that goes down a run has some of the next band's inputs.
    std::vector<index_t> next(static_cast<std::size_t>(threads), 0);
    runtime::parallel_for(s_.batch * runs * bands.count, threads, [&](index_t item, int thread) {
        const index_t band = item % bands.count, run = item / bands.count % runs;
        const bool follows = std::exchange(next[static_cast<std::size_t>(thread)], item + 1) == item && band > 0;
        if (run_rows(item / bands.count / runs, {run, run + 1}, bands[band], follows, x, bias, activation, y,
                     buffers.data() + thread * size, thread, stream) != 0)
            finite = false;
    });
    return finite;
}

template class WinogradParts<float>;
template class WinogradParts<double>;

}  // namespace fastconv::ops
