// Steps of optimizers: one pass over parameters, gradients and state (formula: AdamStep in table.hpp).
//
// Adam reads 4 arrays and writes 3; the division and the square root of a vector take about as long as its loads and
// stores from the second-level cache.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::AdamStep;

template <class T>
void adam_step(const AdamStep<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const auto step = [&](vec<T> g, vec<T>& m, vec<T>& v, vec<T>& w, vec<T>* largest) {
        m += (g - m) * op.momentum_rate;
        v += (g * g - v) * op.velocity_rate;
        if (largest) *largest = larger(v, *largest);
        w -= m / (square_root(largest ? *largest : v) + op.epsilon) * op.rate;
    };
    index_t i = 0;
    for (; i + V <= op.size; i += V) {
        vec<T> m = load(op.momentum + i), v = load(op.velocity + i), w = load(op.parameters + i), hat{};
        if (op.largest_velocity) hat = load(op.largest_velocity + i);
        step(load(op.gradients + i), m, v, w, op.largest_velocity ? &hat : nullptr);
        store(op.momentum + i, m);
        store(op.velocity + i, v);
        store(op.parameters + i, w);
        if (op.largest_velocity) store(op.largest_velocity + i, hat);
    }
    if (const int rest = static_cast<int>(op.size - i)) {
        vec<T> m = load_first(op.momentum + i, rest), v = load_first(op.velocity + i, rest);
        vec<T> w = load_first(op.parameters + i, rest), hat{};
        if (op.largest_velocity) hat = load_first(op.largest_velocity + i, rest);
        step(load_first(op.gradients + i, rest), m, v, w, op.largest_velocity ? &hat : nullptr);
        store_first(op.momentum + i, m, rest);
        store_first(op.velocity + i, v, rest);
        store_first(op.parameters + i, w, rest);
        if (op.largest_velocity) store_first(op.largest_velocity + i, hat, rest);
    }
}

}  // namespace

void register_optimizer(Kernels& table) noexcept {
    table.f32.adam_step = adam_step<float>;
    table.f64.adam_step = adam_step<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
