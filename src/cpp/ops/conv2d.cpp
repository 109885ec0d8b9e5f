// Convolution forward, and its input gradient as the convolution of the output gradient with the transposed kernel.
#include "ops/conv2d.hpp"

#include <algorithm>

#include "ops/contraction.hpp"
#include "ops/depthwise.hpp"
#include "ops/packing.hpp"
#include "ops/planar_pointwise.hpp"
#include "ops/tapwise_gradient.hpp"
#include "ops/winograd_conv2d.hpp"
#include "ops/winograd_parts.hpp"
#include "ops/winograd_parts_input_gradient.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// From pixel to pixel of outputs that are turned to NCHW: 16 of them at a time must not share a set of the cache.
index_t row_in_bank(index_t channels, std::size_t element, Layout layout) {
    constexpr std::size_t set_distance = 2048, line = 64;
    const bool shared = static_cast<std::size_t>(channels) * element % set_distance == 0;
    return layout == Layout::channels_first && shared ? channels + static_cast<index_t>(line / element) : channels;
}

// Beside fewer pixels to transpose the kernel, as planar_pointwise does, takes longer than to turn images. One image,
// 2 threads: 14x14x256 -> 1024 592 instead of 716 us, 28x28x512 -> 1024 at stride 2 1534 instead of 1816; 28x28x512
// -> 256 at stride 2, with 670 weights to a pixel, 386 either way.
constexpr index_t most_weights_of_pixel = 800;

// A second time where sums were not finite, row by row.
template <class T, class Winograd>
void run_rows(const Winograd& winograd, index_t batch, const std::vector<Contraction<T>>& direct, const T* x,
              const T* bias, Activation activation, T* y, double work, int num_threads) {
    const index_t rows = batch * winograd.tile_rows(), size = winograd.scratch_size();
    const int threads = runtime::thread_count(rows, work, num_threads);
    const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * size));
    runtime::parallel_for(rows, threads, [&](index_t row, int thread) {
        winograd.run({row, row + 1}, direct, x, bias, activation, y, scratch.data() + thread * size);
    });
}

// Where the sums of a direction begin and end; depthwise, all channels are one group of depth 1.
struct Direct {
    index_t batch, groups, depth, filters;  // the last two of a group
    Axis rows, columns;
    Strides in, out;
    double work;

    static Direct forward(const Conv2dShape& s) {
        const bool depthwise = s.is_depthwise();
        return {
            s.batch,
            depthwise ? 1 : s.groups,
            s.group_in_channels(),
            depthwise ? s.out_channels : s.group_out_channels(),
            forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height, s.pad_top),
            forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left),
            dense_strides(s.in_height, s.in_width, s.in_channels),
            dense_strides(s.out_height, s.out_width, s.out_channels),
            s.multiplications()};
    }
    // The inputs with these remainders modulo the strides, which the same taps reach.
    static Direct input_gradient(const Conv2dShape& s, index_t row, index_t column) {
        const bool depthwise = s.is_depthwise();
        return {s.batch,
                depthwise ? 1 : s.groups,
                s.group_out_channels(),
                depthwise ? s.in_channels : s.group_in_channels(),
                gradient_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.dilation_height,
                              s.pad_top, row),
                gradient_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.dilation_width, s.pad_left,
                              column),
                dense_strides(s.out_height, s.out_width, s.out_channels),
                dense_strides(s.in_height, s.in_width, s.in_channels),
                s.multiplications() / static_cast<double>(s.stride_height) / static_cast<double>(s.stride_width)};
    }

    // of_group(g) are the weights of a group.
    template <class T, class Weights>
    std::vector<Contraction<T>> contractions(const Weights& of_group, bool diagonal) const {
        std::vector<Contraction<T>> all;
        all.reserve(static_cast<std::size_t>(groups));
        for (index_t g = 0; g < groups; ++g)
            all.emplace_back(rows, columns, in, out, depth, filters, of_group(g), diagonal);
        return all;
    }
};

template <class T>
std::vector<Contraction<T>> contractions(const Direct& direct, const PackedWeights<T>& weights, bool diagonal) {
    return direct.contractions<T>([&](index_t group) { return weights.of_group(group); }, diagonal);
}

// Each block of weights is packed by the thread that reads it, for all images at once: it comes from memory once and
// stays in the cache.
template <class T>
void run_by_block(const Direct& direct, const WeightBlocks<T>& weights, const T* x, const T* bias,
                  Activation activation, T* y, int threads) {
    const auto groups = direct.contractions<T>([&](index_t) { return weights.layout(nullptr); }, false);
    const index_t blocks = weights.blocks(), size = weights.block_size();
    const runtime::Buffer<T> scratch(static_cast<std::size_t>(threads * size));
    runtime::parallel_for(direct.groups * blocks, threads, [&](index_t item, int thread) {
        const index_t group = item / blocks, block = item % blocks, column = group * direct.filters;
        T* const packed = scratch.data() + thread * size;
        weights.pack_block(group, block, packed);
        groups[static_cast<std::size_t>(group)].run_block(direct.batch, block, packed, x + group * direct.depth,
                                                          y + column, bias ? bias + column : nullptr, activation);
    });
}

// Few images beside many weights go by blocks of weights, if these keep all threads busy; else the threads share
// packed weights and cut the images.
template <class T>
void run(const Direct& direct, const WeightBlocks<T>& weights, const T* x, const T* bias, Activation activation, T* y,
         int num_threads, Layout layout) {
    const index_t blocks = direct.groups * weights.blocks();
    const int threads = runtime::thread_count(blocks, direct.work, num_threads);
    const bool even = blocks % threads == 0 || blocks >= 4 * threads;
    if (even && !weights.in_place() && direct.batch * direct.in.image <= blocks * weights.block_size()) {
        const index_t height = direct.rows.length, width = direct.columns.length;
        const index_t channels = direct.groups * direct.filters;
        const ChannelsLastResult<T> result(layout, direct.batch, channels, height * width, y);
        Direct dense = direct;
        if (layout == Layout::channels_first) dense.out = dense_strides(height, width, channels);
        run_by_block(dense, weights, x, bias, activation, result.data(), threads);
        return result.finish(num_threads);
    }
    const PackedWeights<T> packed(weights, num_threads);
    run_all(contractions(direct, packed, false), direct.batch, direct.in, direct.out, x, y, bias, activation,
            direct.work, num_threads, layout);
}

}  // namespace

template <class T>
PackedWeights<T> conv2d_weights(const Conv2dShape& s, const T* kernel, int num_threads) {
    return s.is_depthwise() ? PackedWeights<T>::diagonal(s, kernel)
                            : PackedWeights<T>(WeightBlocks<T>::forward(s, kernel), num_threads);
}

template <class T>
std::vector<Contraction<T>> conv2d_contractions(const Conv2dShape& s, const PackedWeights<T>& weights, Strides out) {
    Direct direct = Direct::forward(s);
    direct.out = out;
    return contractions(direct, weights, s.is_depthwise());
}

template <class T>
void conv2d(const Conv2dShape& s, const T* x, const T* kernel, const T* bias, Activation activation, T* y,
            int num_threads, Layout layout) {
    if (s.output_size() == 0) return;
    const index_t pixels = s.batch * s.out_height * s.out_width;
    if (layout == Layout::channels_first && planar_pointwise_pays<T>(s) &&
        s.kernel_size() <= most_weights_of_pixel * pixels)
        return planar_pointwise(s, x, kernel, bias, activation, y, num_threads);
    runtime::Buffer<T> copy;
    x = to_channels_last(layout, s.batch, s.in_channels, s.in_height * s.in_width, x, copy, num_threads);
    if (const auto depthwise = DepthwiseConv2d<T>::forward(s, kernel, x)) {
        const ChannelsLastResult<T> result(layout, s.batch, s.out_channels, s.out_height * s.out_width, y);
        depthwise->run_all(s.batch, x, bias, activation, result.data(), num_threads);
        return result.finish(num_threads);
    }
    auto winograd = WinogradConv2d<T>::forward(s, kernel);
    auto parts = WinogradParts<T>::forward(s, kernel);
    if (winograd && layout == Layout::channels_first &&
        winograd->run_turned(s.batch, x, bias, activation, y, num_threads))
        return;
    if (winograd || parts) {
        const ChannelsLastResult<T> result(layout, s.batch, s.out_channels, s.out_height * s.out_width, y);
        T* const out = result.data();
        if (winograd ? winograd->run_all(s.batch, x, bias, activation, out, num_threads)
                     : parts->run_all(x, bias, activation, out, num_threads))
            return result.finish(num_threads);
        const auto weights = conv2d_weights(s, kernel, num_threads);
        const auto direct = conv2d_contractions(s, weights);
        const double work = s.multiplications();
        if (winograd) {
            winograd->prepare(num_threads);
            run_rows(*winograd, s.batch, direct, x, bias, activation, out, work, num_threads);
        } else {
            parts->prepare();
            run_rows(*parts, s.batch, direct, x, bias, activation, out, work, num_threads);
        }
        return result.finish(num_threads);
    }
    Direct direct = Direct::forward(s);
    direct.out = dense_strides(s.out_height, s.out_width, row_in_bank(s.out_channels, sizeof(T), layout));
    if (!s.is_depthwise())
        return run(direct, WeightBlocks<T>::forward(s, kernel), x, bias, activation, y, num_threads, layout);
    run_all(contractions(direct, PackedWeights<T>::diagonal(s, kernel), true), s.batch, direct.in, direct.out, x, y,
            bias, activation, direct.work, num_threads, layout);
}

namespace {

template <class T>
void channels_last_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias,
                                  Activation activation, T* dx, int num_threads) {
    // Of stride 1 more is read than written, of more not.
    if (const auto depthwise = DepthwiseConv2d<T>::input_gradient(s, kernel, s.stride_width == 1 ? grad : dx))
        return depthwise->run_all(s.batch, grad, bias, activation, dx, num_threads);
    auto winograd = WinogradConv2d<T>::input_gradient(s, kernel);
    if (winograd && winograd->run_all(s.batch, grad, bias, activation, dx, num_threads)) return;
    for (index_t i = 0; i < std::min(s.stride_height, s.in_height); ++i) {
        for (index_t j = 0; j < std::min(s.stride_width, s.in_width); ++j) {
            const Direct direct = Direct::input_gradient(s, i, j);
            if (s.is_depthwise()) {
                run_all(contractions(direct, PackedWeights<T>::diagonal(s, kernel), true), s.batch, direct.in,
                        direct.out, grad, dx, bias, activation, direct.work, num_threads);
                continue;
            }
            const auto weights = WeightBlocks<T>::transposed(s, direct.rows, direct.columns, kernel);
            if (!winograd) {
                run(direct, weights, grad, bias, activation, dx, num_threads, Layout::channels_last);
                continue;
            }
            const PackedWeights<T> packed(weights, num_threads);
            winograd->prepare(num_threads);
            run_rows(*winograd, s.batch, contractions(direct, packed, false), grad, bias, activation, dx, direct.work,
                     num_threads);
        }
    }
}

}  // namespace

template <class T>
void conv2d_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias, Activation activation,
                           T* dx, int num_threads, Layout layout) {
    if (s.input_size() == 0) return;
    if (layout == Layout::channels_last &&
        winograd_parts_input_gradient(s, grad, kernel, bias, activation, dx, num_threads))
        return;
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
