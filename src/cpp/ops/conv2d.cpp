// Convolution forward, and its input gradient as the convolution of the output gradient with the transposed kernel.
#include "ops/conv2d.hpp"

#include <algorithm>

#include "ops/contraction.hpp"
#include "ops/packing.hpp"
#include "ops/tapwise_gradient.hpp"
#include "ops/winograd_conv2d.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// A second time where sums were not finite, row by row.
template <class T>
void run_rows(const WinogradConv2d<T>& winograd, index_t batch, const Contraction<T>& direct, const T* x,
              const T* bias, Activation activation, T* y, int num_threads) {
    const index_t rows = batch * winograd.tile_rows(), size = winograd.scratch_size();
    const int threads = runtime::thread_count(rows, static_cast<double>(size * rows), num_threads);
    const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * size));
    runtime::parallel_for(rows, threads, [&](index_t row, int thread) {
        winograd.run({row, row + 1}, direct, x, bias, activation, y, scratch.data() + thread * size);
    });
}

}  // namespace

template <class T>
PackedWeights<T> conv2d_weights(const Conv2dShape& s, const T* kernel, int num_threads) {
    return s.is_depthwise() ? PackedWeights<T>::diagonal(s, kernel)
                            : PackedWeights<T>::forward(s, kernel, num_threads);
}

template <class T>
std::vector<Contraction<T>> conv2d_contractions(const Conv2dShape& s, const PackedWeights<T>& weights) {
    const bool depthwise = s.is_depthwise();
    const index_t groups = depthwise ? 1 : s.groups;
    const Axis rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height, s.pad_top);
    const Axis columns =
        forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left);
    std::vector<Contraction<T>> contractions;
    for (index_t g = 0; g < groups; ++g)
        contractions.emplace_back(rows, columns, dense_strides(s.in_height, s.in_width, s.in_channels),
                                  dense_strides(s.out_height, s.out_width, s.out_channels), s.group_in_channels(),
                                  s.out_channels / groups, weights.of_group(g), depthwise);
    return contractions;
}

template <class T>
void conv2d(const Conv2dShape& s, const T* x, const T* kernel, const T* bias, Activation activation, T* y,
            int num_threads) {
    if (s.output_size() == 0) return;
    const auto winograd = WinogradConv2d<T>::forward(s, kernel, num_threads);
    if (winograd && winograd->run_all(s.batch, x, bias, activation, y, num_threads)) return;

    const auto weights = conv2d_weights(s, kernel, num_threads);
    const auto contractions = conv2d_contractions(s, weights);
    if (winograd) return run_rows(*winograd, s.batch, contractions[0], x, bias, activation, y, num_threads);

    const Strides in = dense_strides(s.in_height, s.in_width, s.in_channels);
    const Strides out = dense_strides(s.out_height, s.out_width, s.out_channels);
    const index_t groups = static_cast<index_t>(contractions.size());
    const index_t depth = s.in_channels / groups, filters = s.out_channels / groups;
    for (index_t g = 0; g < groups; ++g)
        run_all(contractions[static_cast<std::size_t>(g)], s.batch, in, out, x + g * depth, y + g * filters,
                bias ? bias + g * filters : nullptr, activation, s.multiplications() / static_cast<double>(groups),
                num_threads);
}

template <class T>
void conv2d_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias, Activation activation,
                           T* dx, int num_threads) {
    if (s.input_size() == 0) return;
    const auto winograd = WinogradConv2d<T>::input_gradient(s, kernel, num_threads);
    if (winograd && winograd->run_all(s.batch, grad, bias, activation, dx, num_threads)) return;
    if (tapwise_gradient_pays<T>(s))
        return tapwise_input_gradient(s, grad, kernel, bias, activation, dx, num_threads);
    const bool depthwise = s.is_depthwise();
    const Strides in = dense_strides(s.out_height, s.out_width, s.out_channels);
    const Strides out = dense_strides(s.in_height, s.in_width, s.in_channels);
    const index_t groups = depthwise ? 1 : s.groups;
    const index_t depth = depthwise ? 1 : s.group_out_channels(), channels = s.in_channels / groups;
    const double work = s.multiplications() / static_cast<double>(groups) / static_cast<double>(s.stride_height) /
                        static_cast<double>(s.stride_width);
    // The inputs with one remainder modulo the stride are reached by the same taps.
    for (index_t i = 0; i < std::min(s.stride_height, s.in_height); ++i) {
        const Axis rows = gradient_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height,
                                        s.dilation_height, s.pad_top, i);
        for (index_t j = 0; j < std::min(s.stride_width, s.in_width); ++j) {
            const Axis columns = gradient_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width,
                                               s.dilation_width, s.pad_left, j);
            const auto weights = depthwise ? PackedWeights<T>::diagonal(s, kernel)
                                           : PackedWeights<T>::transposed(s, rows, columns, kernel, num_threads);
            for (index_t g = 0; g < groups; ++g) {
                const Contraction<T> contraction(rows, columns, in, out, depth, channels, weights.of_group(g),
                                                 depthwise);
                if (winograd)
                    return run_rows(*winograd, s.batch, contraction, grad, bias, activation, dx, num_threads);
                run_all(contraction, s.batch, in, out, grad + g * depth, dx + g * channels,
                        bias ? bias + g * channels : nullptr, activation, work, num_threads);
            }
        }
    }
}

template PackedWeights<float> conv2d_weights(const Conv2dShape&, const float*, int);
template PackedWeights<double> conv2d_weights(const Conv2dShape&, const double*, int);
template std::vector<Contraction<float>> conv2d_contractions(const Conv2dShape&, const PackedWeights<float>&);
template std::vector<Contraction<double>> conv2d_contractions(const Conv2dShape&, const PackedWeights<double>&);
template void conv2d(const Conv2dShape&, const float*, const float*, const float*, Activation, float*, int);
template void conv2d(const Conv2dShape&, const double*, const double*, const double*, Activation, double*, int);
template void conv2d_input_gradient(const Conv2dShape&, const float*, const float*, const float*, Activation, float*,
                                    int);
template void conv2d_input_gradient(const Conv2dShape&, const double*, const double*, const double*, Activation,
                                    double*, int);

}  // namespace fastconv::ops
