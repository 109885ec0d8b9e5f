#include "ops/peak.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/streaming.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

template <class T>
double measure_multiply_adds_per_second(double seconds, int num_threads) {
    constexpr index_t steps = 200'000;  // about a millisecond
    const auto& kernels = dispatch::active<T>();
    const int threads = runtime::thread_count(1 << 20, 1e18, num_threads);
    const runtime::Buffer<T> results(static_cast<std::size_t>(threads) * 64);
    double best = 0;
    const auto begin = Clock::now();
    do {
        const auto start = Clock::now();
        runtime::parallel_for(threads, threads, [&](index_t item, int) {
            results.data()[item * 64] = kernels.multiply_add_chains(steps);
        });
        const double elapsed = seconds_since(start);
        best = std::max(best, threads * static_cast<double>(steps) * kernels.multiply_adds_per_step / elapsed);
    } while (seconds_since(begin) < seconds);
    return best;
}

double measure_seconds_of_memory(index_t reads, const float* x, index_t writes, float* y, double seconds,
                                 int num_threads) {
    constexpr index_t line = stream_line / static_cast<index_t>(sizeof(float)), item_lines = 1024, most_items = 32;
    const int threads = runtime::thread_count(1 << 20, 1e18, num_threads);
    const auto& kernels = dispatch::active<float>();
    const runtime::Buffer<float> sums(static_cast<std::size_t>(threads) * line);
    for (; writes > 0 && !on_a_line(y); --writes) ++y;
    const index_t lines_read = reads / line, lines_written = writes / line;
    const auto items = static_cast<int>(
        std::clamp<index_t>((lines_read + lines_written) / item_lines, threads, most_items * threads));
    const auto pass = [&](bool stream) {
        runtime::parallel_for(items, threads, [&](index_t item, int thread) {
            const auto [read, read_end] = runtime::share(lines_read, static_cast<int>(item), items);
            const auto [written, written_end] = runtime::share(lines_written, static_cast<int>(item), items);
            sums.data()[thread * line] =
                kernels.read_and_write((read_end - read) * line, x + read * line, (written_end - written) * line,
                                       y + written * line, stream);
        });
    };
    const auto median = [&](bool stream) {
        pass(stream);  // what caches hold of it, they hold from now on
        std::vector<double> found;
        const auto begin = Clock::now();
        do {
            const auto start = Clock::now();
            pass(stream);
            found.push_back(seconds_since(start));
        } while (seconds_since(begin) < seconds / 2);
        const auto middle = found.begin() + static_cast<std::ptrdiff_t>(found.size() / 2);
        std::nth_element(found.begin(), middle, found.end());
        return *middle;
    };
    return std::min(median(false), median(true));
}

template <class T>
double multiply_tiles(index_t count) {
    constexpr index_t steps = 64, repeats = 16;  // 16 times the same depth
    constexpr index_t offsets[repeats] = {};
    const auto& kernels = dispatch::active<T>();
    const index_t vectors = kernels.block_vectors, rows = kernels.tile_rows[vectors - 1],
                  width = vectors * kernels.lanes;
    const index_t a_size = rows * steps, b_size = steps * width, c_size = rows * width;
    const runtime::Buffer<T> all(static_cast<std::size_t>(b_size + c_size + a_size));
    std::fill_n(all.data(), b_size + c_size + a_size, T(1));
    kernels::BatchReduce<T> op{};
    op.b = all.data();
    op.c = all.data() + b_size;
    op.a = op.c + c_size;
    op.a_row_stride = steps;
    op.a_depth_stride = 1;
    op.a_offsets = op.b_offsets = offsets;
    op.b_depth_stride = op.b_block_stride = op.c_row_stride = width;
    op.count = repeats;
    op.depth = steps;
    op.rows = rows;
    op.columns = width;
    op.block_vectors = kernels.block_vectors;
    for (index_t i = 0; i < count; ++i) kernels.batch_reduce(op);
    // Of ones, a sum is the number of its products.
    return static_cast<double>(count) * std::accumulate(op.c, op.c + c_size, 0.0);
}

template double multiply_tiles<float>(index_t);
template double multiply_tiles<double>(index_t);
template double measure_multiply_adds_per_second<float>(double, int);
template double measure_multiply_adds_per_second<double>(double, int);

}  // namespace fastconv::ops
