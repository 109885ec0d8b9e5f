// Depthwise convolution with few taps, and its kernel gradient (formulas and layouts: DepthwiseWindows, DepthwiseConv
// and DepthwiseGradient in table.hpp).
//
// A tile of outputs, up to 2 rows x 4 columns, runs through a block of channels, which lie side by side. For a vector
// of channels each input is loaded once and multiplied for every output that reads it; inputs in the order of (row,
// column) are taps in that order for each output. Vectors of a tile of 3x3 taps, stride 1:
//
//   convolution:  8 outputs + 9 weights + 1 input = 18 registers; 24 inputs, 9 weights loaded for 72 FMAs
//   gradient:     9 sums + 8 of grad + 1 input = 18 registers; 24 inputs, 8 of grad, 9 sums loaded for 72 FMAs
//
// (with 16 registers some of them become operands in memory). Inputs outside the image are jumped over: which those
// are is the same for all channels of a tile, so that the CPU foresees the jumps.
// Vectors at the ends of the channels overlap others where need be: some channels are computed twice.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::DepthwiseConv;
using kernels::DepthwiseGradient;
using kernels::DepthwiseWindows;

constexpr int most_rows = 2, most_columns = 4;
// Channels that run through all tiles of a row before the next do: their weights stay in the first-level cache.
constexpr int block_vectors = 16;

// The inputs of a tile from its first tap on; bits say which of their rows and columns are inside the image.
template <class T>
struct Patch {
    const T* x;
    unsigned rows, columns;
};

// Vectors [first, last) of channels.
struct Channels {
    index_t first, last, shift, last_begin;

    FASTCONV_INLINE index_t begin(index_t vector, int lanes) const {
        const index_t c = vector * lanes - shift;
        return c < 0 ? 0 : c < last_begin ? c : last_begin;
    }
};

template <int TapRows, int TapColumns, int Step, int Rows, int Columns>
struct Tile {
    static constexpr int taps = TapRows * TapColumns;
    static constexpr int in_rows = (Rows - 1) * Step + TapRows, in_columns = (Columns - 1) * Step + TapColumns;

    // Adds to outputs (or to weights) the products of the inputs, from channel c on, with weights (or outputs).
    template <bool to_outputs, class T>
    static FASTCONV_INLINE void add_products(const Patch<T>& patch, index_t row_stride, index_t pixel_stride,
                                             index_t c, vec<T> (&outputs)[Rows][Columns], vec<T> (&weights)[taps]) {
        FASTCONV_UNROLL for (int i = 0; i < in_rows; ++i) {
            if (!(patch.rows >> i & 1)) continue;
            const T* row = patch.x + i * row_stride + c;
            FASTCONV_UNROLL for (int j = 0; j < in_columns; ++j) {
                if (!(patch.columns >> j & 1)) continue;
                const vec<T> v = load(row + j * pixel_stride);
                FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) FASTCONV_UNROLL for (int q = 0; q < Columns; ++q) {
                    const int r = i - p * Step, s = j - q * Step;
                    if (r < 0 || r >= TapRows || s < 0 || s >= TapColumns) continue;
                    if constexpr (to_outputs)
                        outputs[p][q] += v * weights[r * TapColumns + s];
                    else
                        weights[r * TapColumns + s] += v * outputs[p][q];
                }
            }
        }
        // The inputs that the tile below reads and this one does not, long before it does.
        const T* below = patch.x + in_rows * row_stride + (TapColumns - Step) * pixel_stride + c;
        FASTCONV_UNROLL for (int i = 0; i < Rows * Step; ++i)
            prefetch<Columns * Step>(below + i * row_stride, pixel_stride);
    }

    template <int count, class T>
    static FASTCONV_INLINE void prefetch(const T* p, index_t stride) {
        FASTCONV_UNROLL for (int i = 0; i < count; ++i) __builtin_prefetch(p + i * stride, 0, 2);
    }

    template <class T>
    static void run(const DepthwiseConv<T>& op, const Patch<T>& patch, const Channels& channels, T* y) noexcept {
        constexpr int V = lanes<T>;
        const index_t in_row = op.windows.row_stride, in_pixel = op.windows.pixel_stride;
        const index_t y_row = op.y_row_stride, y_pixel = op.y_pixel_stride;
        const T* const bias = op.bias;
        // max(floor, v) is ReLU or nothing, and keeps NaN.
        const vec<T> floor =
            broadcast<T>(op.activation == Activation::relu ? T(0) : -static_cast<T>(__builtin_inff()));
        const T* packed = op.weights + channels.first * taps * V;
        for (index_t i = channels.first; i < channels.last; ++i, packed += taps * V) {
            const index_t c = channels.begin(i, V);
            vec<T> outputs[Rows][Columns] = {}, weights[taps];
            FASTCONV_UNROLL for (int t = 0; t < taps; ++t) weights[t] = load(packed + t * V);
            add_products<true>(patch, in_row, in_pixel, c, outputs, weights);
            const vec<T> shift = bias ? load(bias + c) : vec<T>{};
            FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) {
                T* const y_begin = y + p * y_row + c;
                FASTCONV_UNROLL for (int q = 0; q < Columns; ++q)
                    store(y_begin + q * y_pixel, larger(floor, outputs[p][q] + shift));
                prefetch<Columns>(y_begin + Rows * y_row, y_pixel);
            }
        }
    }

    template <class T>
    static void run(const DepthwiseGradient<T>& op, const Patch<T>& patch, const Channels& channels,
                    const T* grad) noexcept {
        constexpr int V = lanes<T>;
        const index_t in_row = op.windows.row_stride, in_pixel = op.windows.pixel_stride;
        const index_t grad_row = op.grad_row_stride, grad_pixel = op.grad_pixel_stride;
        T* sums = op.sums + channels.first * taps * V;
        for (index_t i = channels.first; i < channels.last; ++i, sums += taps * V) {
            const index_t c = channels.begin(i, V);
            vec<T> outputs[Rows][Columns], weights[taps];
            FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) {
                const T* const begin = grad + p * grad_row + c;
                FASTCONV_UNROLL for (int q = 0; q < Columns; ++q) outputs[p][q] = load(begin + q * grad_pixel);
                prefetch<Columns>(begin + Rows * grad_row, grad_pixel);
            }
            FASTCONV_UNROLL for (int t = 0; t < taps; ++t) weights[t] = load(sums + t * V);
            add_products<false>(patch, in_row, in_pixel, c, outputs, weights);
            FASTCONV_UNROLL for (int t = 0; t < taps; ++t) store(sums + t * V, weights[t]);
        }
    }
};

// Bit i says whether first + i is in [0, length).
unsigned inside(index_t first, index_t length) {
    constexpr int most_inputs = (most_columns - 1) * 2 + 3;
    unsigned bits = 0;
    for (int i = 0; i < most_inputs; ++i) bits |= static_cast<unsigned>(first + i >= 0 && first + i < length) << i;
    return bits;
}

// What tiles of one row, or of two, do with each number of columns.
template <class Op, class T, class Out>
struct Tiles {
    using Run = void (*)(const Op&, const Patch<T>&, const Channels&, Out*) noexcept;
    Run of[most_rows][most_columns];

    template <int TapRows, int TapColumns, int Step>
    static constexpr Tiles with() {
        return {{{Tile<TapRows, TapColumns, Step, 1, 1>::run, Tile<TapRows, TapColumns, Step, 1, 2>::run,
                  Tile<TapRows, TapColumns, Step, 1, 3>::run, Tile<TapRows, TapColumns, Step, 1, 4>::run},
                 {Tile<TapRows, TapColumns, Step, 2, 1>::run, Tile<TapRows, TapColumns, Step, 2, 2>::run,
                  Tile<TapRows, TapColumns, Step, 2, 3>::run, Tile<TapRows, TapColumns, Step, 2, 4>::run}}};
    }
};
template <class T>
using ConvTiles = Tiles<DepthwiseConv<T>, T, T>;
template <class T>
using GradientTiles = Tiles<DepthwiseGradient<T>, T, const T>;

// All outputs in tiles as equal in width as can be; `out` is what they write, or the gradient that they read.
template <class Op, class T, class Out>
void run(const Op& op, const Tiles<Op, T, Out>& tiles, Out* out, index_t out_row_stride,
         index_t out_pixel_stride) noexcept {
    const DepthwiseWindows<T>& in = op.windows;
    for (index_t p = 0, rows; p < in.rows; p += rows) {
        rows = in.rows - p < most_rows ? in.rows - p : most_rows;
        const index_t row = in.row + p * in.step;
        for (index_t i = in.first_vector; i < in.last_vector; i += block_vectors) {
            const Channels channels{i, in.last_vector - i < block_vectors ? in.last_vector : i + block_vectors,
                                    in.shift, in.channels - lanes<T>};
            for (index_t q = 0, columns; q < in.columns; q += columns) {
                const index_t left = in.columns - q, tiles_left = (left + most_columns - 1) / most_columns;
                columns = (left + tiles_left - 1) / tiles_left;
                const index_t column = in.column + q * in.step;
                const Patch<T> patch{in.x + row * in.row_stride + column * in.pixel_stride, inside(row, in.height),
                                     inside(column, in.width)};
                tiles.of[rows - 1][columns - 1](op, patch, channels, out + p * out_row_stride + q * out_pixel_stride);
            }
        }
    }
}

template <class T>
constexpr ConvTiles<T> conv_tiles[] = {
    ConvTiles<T>::template with<1, 1, 1>(), ConvTiles<T>::template with<1, 2, 1>(),
    ConvTiles<T>::template with<2, 1, 1>(), ConvTiles<T>::template with<2, 2, 1>(),
    ConvTiles<T>::template with<3, 3, 1>(), ConvTiles<T>::template with<3, 3, 2>(),
};
template <class T>
constexpr GradientTiles<T> gradient_tiles[] = {GradientTiles<T>::template with<3, 3, 1>(),
                                               GradientTiles<T>::template with<3, 3, 2>()};

template <class T>
void conv(const DepthwiseConv<T>& op) noexcept {
    const DepthwiseWindows<T>& in = op.windows;
    const index_t number = in.tap_rows == 3 ? 3 + in.step : 2 * in.tap_rows + in.tap_columns - 3;
    run(op, conv_tiles<T>[number], op.y, op.y_row_stride, op.y_pixel_stride);
}

template <class T>
void gradient(const DepthwiseGradient<T>& op) noexcept {
    run(op, gradient_tiles<T>[op.windows.step - 1], op.grad, op.grad_row_stride, op.grad_pixel_stride);
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.depthwise_conv = conv<T>;
    table.depthwise_gradient = gradient<T>;
}

}  // namespace

void register_depthwise(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
