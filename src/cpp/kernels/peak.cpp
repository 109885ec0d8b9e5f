// The machine's best.
//
// Arithmetic: acc = acc * a + b on independent accumulators, nothing else. 12 chains of FMAs cover their latency of 4
// cycles at 2 or even 3 a cycle; 12 accumulators + a + b fit 16 registers.
//
// Memory: runs of 8 vectors are read, each into a sum of its own, and written, in turn as their numbers are in
// proportion, so that memory has work in both directions at any time. What is written is not zero: lines of zeros go
// to memory three times as fast (Zen 4: 89 instead of 27 GB/s).
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

constexpr int chains = 12;

template <class T>
T multiply_add_chains(index_t steps) noexcept {
    vec<T> acc[chains];
    // None begins at the fixed point 2, which the compiler would see and leave out.
    FASTCONV_UNROLL for (int i = 0; i < chains; ++i) acc[i] = broadcast(static_cast<T>(i + 3));
    const vec<T> a = broadcast(T(0.5)), b = broadcast(T(1));
    for (index_t step = 0; step < steps; ++step)
        FASTCONV_UNROLL for (int i = 0; i < chains; ++i) acc[i] = acc[i] * a + b;
    vec<T> sum{};
    FASTCONV_UNROLL for (int i = 0; i < chains; ++i) sum += acc[i];
    T total = 0;
    for (int i = 0; i < lanes<T>; ++i) total += sum[i];
    return total;
}

constexpr index_t run_vectors = 8;

template <bool past_caches, class T>
T read_and_write_runs(index_t reads, const T* x, index_t writes, T* y) noexcept {
    constexpr int V = lanes<T>;
    constexpr index_t run = run_vectors * V;
    const index_t to_read = reads / run, to_write = writes / run, steps = to_read > to_write ? to_read : to_write;
    const vec<T> ones = broadcast(T(1));
    vec<T> sums[run_vectors] = {};
    for (index_t step = 0, read = 0, written = 0; step < steps; ++step) {
        read += to_read;
        if (read >= steps) {
            read -= steps;
            FASTCONV_UNROLL for (int i = 0; i < run_vectors; ++i) sums[i] += load(x + i * V);
            x += run;
        }
        written += to_write;
        if (written >= steps) {
            written -= steps;
            FASTCONV_UNROLL for (int i = 0; i < run_vectors; ++i) store_or_stream(y + i * V, ones, past_caches);
            y += run;
        }
    }
    if (past_caches) stream_fence();
    T total = 0;
    for (const vec<T>& sum : sums)
        for (int i = 0; i < V; ++i) total += sum[i];
    return total;
}

template <class T>
T read_and_write(index_t reads, const T* x, index_t writes, T* y, bool past_caches) noexcept {
    return past_caches ? read_and_write_runs<true>(reads, x, writes, y)
                       : read_and_write_runs<false>(reads, x, writes, y);
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.multiply_add_chains = multiply_add_chains<T>;
    table.multiply_adds_per_step = chains * lanes<T>;
    table.read_and_write = read_and_write<T>;
}

}  // namespace

void register_peak(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
