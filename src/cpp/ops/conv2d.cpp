// Convolution forward, and its input gradient as the convolution of the output gradient with the transposed kernel.
#include "ops/conv2d.hpp"

#include <algorithm>

#include "ops/contraction.hpp"
#include "ops/depthwise.hpp"
#include "ops/packing.hpp"
#include "ops/planar_pointwise.hpp"
#include "ops/tapwise_gradient.hpp"
#include "ops/winograd_conv2d.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// From pixel to pixel of outputs that are turned to NCHW: 16 of them at a time must not share a set of the cache.
index_t row_in_bank(index_t channels, std::size_t element, Layout layout) {
    constexpr std::size_t set_distance = 2048, line = 64;
    const bool shared = static_cast<std::size_t>(channels) * element % set_distance == 0;
    return layout == Layout::channels_first && shared ? channels + static_cast<index_t>(line / element) : channels;
}

// A second time where sums were not finite, row by row.
template <class T>
void run_rows(const WinogradConv2d<T>& winograd, index_t batch, const std::vector<Contraction<T>>& direct, const T* x,
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
std::vector<Contraction<T>> conv2d_contractions(const Conv2dShape& s, const PackedWeights<T>& weights, Strides out) {
    const bool depthwise = s.is_depthwise();
    const index_t groups = depthwise ? 1 : s.groups;
    const Axis rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height, s.pad_top);
    const Axis columns =
        forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left);
    std::vector<Contraction<T>> contractions;
    for (index_t g = 0; g < groups; ++g)
        contractions.emplace_back(rows, columns, dense_strides(s.in_height, s.in_width, s.in_channels), out,
                                  s.group_in_channels(), s.out_channels / groups, weights.of_group(g), depthwise);
    return contractions;
}

template <class T>
void conv2d(const Conv2dShape& s, const T* x, const T* kernel, const T* bias, Activation activation, T* y,
            int num_threads, Layout layout) {
    if (s.output_size() == 0) return;
    if (layout == Layout::channels_first && planar_pointwise_pays<T>(s))
        return planar_pointwise(s, x, kernel, bias, activation, y, num_threads);
    runtime::Buffer<T> copy;
    x = to_channels_last(layout, s.batch, s.in_channels, s.in_height * s.in_width, x, copy, num_threads);
    if (const auto depthwise = DepthwiseConv2d<T>::forward(s, kernel)) {
        const ChannelsLastResult<T> result(layout, s.batch, s.out_channels, s.out_height * s.out_width, y);
        depthwise->run_all(s.batch, x, bias, activation, result.data(), num_threads);
        return result.finish(num_threads);
    }
    const auto winograd = WinogradConv2d<T>::forward(s, kernel, num_threads);
    if (winograd) {
        const ChannelsLastResult<T> result(layout, s.batch, s.out_channels, s.out_height * s.out_width, y);
        if (!winograd->run_all(s.batch, x, bias, activation, result.data(), num_threads)) {
            const auto weights = conv2d_weights(s, kernel, num_threads);
            run_rows(*winograd, s.batch, conv2d_contractions(s, weights), x, bias, activation, result.data(),
                     num_threads);
        }
        return result.finish(num_threads);
    }
    const auto weights = conv2d_weights(s, kernel, num_threads);
    const Strides in = dense_strides(s.in_height, s.in_width, s.in_channels);
    const Strides out = dense_strides(s.out_height, s.out_width, row_in_bank(s.out_channels, sizeof(T), layout));
    run_all(conv2d_contractions(s, weights, out), s.batch, in, out, x, y, bias, activation, s.multiplications(),
            num_threads, layout);
}

namespace {

template <class T>
void channels_last_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias,
                                  Activation activation, T* dx, int num_threads) {
    if (const auto depthwise = DepthwiseConv2d<T>::input_gradient(s, kernel))
        return depthwise->run_all(s.batch, grad, bias, activation, dx, num_threads);
    const auto winograd = WinogradConv2d<T>::input_gradient(s, kernel, num_threads);
    if (winograd && winograd->run_all(s.batch, grad, bias, activation, dx, num_threads)) return;
    const bool depthwise = s.is_depthwise();
    const Strides in = dense_strides(s.out_height, s.out_width, s.out_channels);
    const Strides out = dense_strides(s.in_height, s.in_width, s.in_channels);
    const index_t groups = depthwise ? 1 : s.groups;
    const index_t depth = depthwise ? 1 : s.group_out_channels(), channels = s.in_channels / groups;
    const double work =
        s.multiplications() / static_cast<double>(s.stride_height) / static_cast<double>(s.stride_width);
    // The inputs with one remainder modulo the stride are reached by the same taps.
    for (index_t i = 0; i < std::min(s.stride_height, s.in_height); ++i) {
        const Axis rows = gradient_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height,
                                        s.dilation_height, s.pad_top, i);
        for (index_t j = 0; j < std::min(s.stride_width, s.in_width); ++j) {
            const Axis columns = gradient_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width,
                                               s.dilation_width, s.pad_left, j);
            const auto weights = depthwise ? PackedWeights<T>::diagonal(s, kernel)
                                           : PackedWeights<T>::transposed(s, rows, columns, kernel, num_threads);
            std::vector<Contraction<T>> contractions;
            for (index_t g = 0; g < groups; ++g)
                contractions.emplace_back(rows, columns, in, out, depth, channels, weights.of_group(g), depthwise);
            if (winograd) return run_rows(*winograd, s.batch, contractions, grad, bias, activation, dx, num_threads);
            run_all(contractions, s.batch, in, out, grad, dx, bias, activation, work, num_threads);
        }
    }
}

}  // namespace

template <class T>
void conv2d_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias, Activation activation,
                           T* dx, int num_threads, Layout layout) {
    if (s.input_size() == 0) return;
    if (tapwise_gradient_pays<T>(s))
        return tapwise_input_gradient(s, grad, kernel, bias, activation, dx, num_threads, layout);
    const bool unit_strides = s.stride_height == 1 && s.stride_width == 1;
    if (layout == Layout::channels_first && unit_strides && planar_pointwise_pays<T>(s))
        return planar_pointwise_input_gradient(s, grad, kernel, bias, activation, dx, num_threads);
    runtime::Buffer<T> copy;
    grad = to_channels_last(layout, s.batch, s.out_channels, s.out_height * s.out_width, grad, copy, num_threads);
    const ChannelsLastResult<T> result(layout, s.batch, s.in_channels, s.in_height * s.in_width, dx);
    channels_last_input_gradient(s, grad, kernel, bias, activation, result.data(), num_threads);
    result.finish(num_threads);
}

template PackedWeights<float> conv2d_weights(const Conv2dShape&, const float*, int);
template PackedWeights<double> conv2d_weights(const Conv2dShape&, const double*, int);
template std::vector<Contraction<float>> conv2d_contractions(const Conv2dShape&, const PackedWeights<float>&,
                                                             Strides);
template std::vector<Contraction<double>> conv2d_contractions(const Conv2dShape&, const PackedWeights<double>&,
                                                              Strides);
template void conv2d(const Conv2dShape&, const float*, const float*, const float*, Activation, float*, int, Layout);
template void conv2d(const Conv2dShape&, const double*, const double*, const double*, Activation, double*, int,
                     Layout);
template void conv2d_input_gradient(const Conv2dShape&, const float*, const float*, const float*, Activation, float*,
                                    int, Layout);
template void conv2d_input_gradient(const Conv2dShape&, const double*, const double*, const double*, Activation,
                                    double*, int, Layout);

}  // namespace fastconv::ops
