// Means of pooling windows of one channel (PoolStrip in table.hpp with channels = y_stride = 1): NHWC images of one
// channel, and each plane of NCHW images.
//
// Vectors lie along the row of windows: a tap is one vector, of stride 1 as it lies in memory, of stride 2 the even
// lanes of two; the last whole vector ends with the last window. Windows that are runs of memory, a vector or more,
// as in global pooling, are summed along it: lane l adds up the cells l, l + V, ...; then the lanes are added.
#pragma once

#include "kernels/table.hpp"
#include "simd/lane_sums.hpp"
#include "simd/strided.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

template <class T>
FASTCONV_INLINE vec<T> lane_sums_of_run(const T* x, index_t size) {
    constexpr int V = lanes<T>;
    vec<T> sum{};
    index_t i = 0;
    for (; i + V <= size; i += V) sum += load(x + i);
    if (i < size) sum += load_first(x + i, static_cast<int>(size - i));
    return sum;
}

// Windows that are runs of memory, V at a time.
template <class T, class Mean>
void means_of_runs(const kernels::PoolStrip<T>& op, const Mean& mean) {
    constexpr int V = lanes<T>;
    const T* x = op.x + op.tap_offsets[0];
    for (index_t m = 0; m < op.pixels; m += V) {
        const int n = op.pixels - m < V ? static_cast<int>(op.pixels - m) : V;
        vec<T> sums[V] = {};
        for (int i = 0; i < n; ++i) sums[i] = lane_sums_of_run(x + (m + i) * op.x_stride, op.taps);
        sum_lanes<T, V>(sums);
        store_first(op.y + m, mean(sums[0]), n);
    }
}

template <int stride, bool whole, class T>
FASTCONV_INLINE vec<T> sums_of_windows(const kernels::PoolStrip<T>& op, const T* x, int n) {
    vec<T> sum{};
    for (index_t i = 0; i < op.taps; ++i)
        sum += load_strided<whole>(x + op.tap_offsets[i], stride > 0 ? stride : op.x_stride, n);
    return sum;
}

template <int stride, class T, class Mean>
void means_of_stride(const kernels::PoolStrip<T>& op, const Mean& mean) {
    constexpr int V = lanes<T>;
    const auto at = [&](index_t m) {
        store(op.y + m, mean(sums_of_windows<stride, true>(op, op.x + m * op.x_stride, V)));
    };
    index_t m = 0;
    for (; m + V <= op.pixels; m += V) at(m);
    if (m == op.pixels) return;
    if (m > 0) return at(op.pixels - V);
    const int n = static_cast<int>(op.pixels);
    store_first(op.y, mean(sums_of_windows<stride, false>(op, op.x, n)), n);
}

template <class T, class Mean>
void plane_means(const kernels::PoolStrip<T>& op, const Mean& mean) {
    if (op.taps >= lanes<T> && op.x_stride >= op.taps &&
        op.tap_offsets[op.taps - 1] - op.tap_offsets[0] == op.taps - 1)
        means_of_runs(op, mean);
    else if (op.x_stride == 1)
        means_of_stride<1>(op, mean);
    else if (op.x_stride == 2)
        means_of_stride<2>(op, mean);
    else
        means_of_stride<0>(op, mean);
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
