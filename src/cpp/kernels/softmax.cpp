// Softmax and log-sum-exp over rows, shifted by the row's maximum so that nothing overflows.
#include <math.h>

#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

FASTCONV_INLINE float exponential(float x) { return ::expf(x); }
FASTCONV_INLINE double exponential(double x) { return ::exp(x); }
FASTCONV_INLINE float logarithm(float x) { return ::logf(x); }
FASTCONV_INLINE double logarithm(double x) { return ::log(x); }

template <class T>
void softmax(index_t rows, index_t classes, const T* x, T* y, T* maxima, T* log_sums) noexcept {
    for (index_t r = 0; r < rows; ++r, x += classes) {
        T largest = x[0];
        for (index_t c = 1; c < classes; ++c) largest = x[c] > largest ? x[c] : largest;
        maxima[r] = largest;
        T sum = 0;
        for (index_t c = 0; c < classes; ++c) {
            const T e = exponential(x[c] - largest);
            if (y) y[c] = e;
            sum += e;
        }
        log_sums[r] = logarithm(sum);
        if (!y) continue;
        for (index_t c = 0; c < classes; ++c) y[c] /= sum;
        y += classes;
    }
}

}  // namespace

void register_softmax(Kernels& table) noexcept {
    table.f32.softmax = softmax<float>;
    table.f64.softmax = softmax<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
