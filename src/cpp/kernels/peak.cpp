// The machine's best: acc = acc * a + b on independent accumulators, nothing else. 12 chains of FMAs cover their
// latency of 4 cycles at 2 or even 3 a cycle; 12 accumulators + a + b fit 16 registers.
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

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.multiply_add_chains = multiply_add_chains<T>;
    table.multiply_adds_per_step = chains * lanes<T>;
}

}  // namespace

void register_peak(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
