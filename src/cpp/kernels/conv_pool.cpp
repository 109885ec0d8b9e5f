// Convolution of few input channels, bias, activation and 2x2 max pooling in registers (formula and layouts:
// ConvPoolStrip in table.hpp).
//
// The 4 pixels of a window times 2 vectors of output channels are 8 accumulators; a step of the sum loads 2 vectors
// of weights and 4 scalars for 8 FMAs. With 32 registers two windows share the weights: 16 + 2 + 1. Only the maximum
// and its place are written: 5 bytes of output for 16 of a convolution.
#include "kernels/registration.hpp"
#include "kernels/window_maximum.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::ConvPoolStrip;

constexpr int vectors_at_once = 2;
constexpr int windows_at_once = vector_registers == 32 ? 2 : 1;

// Windows x Vectors windows and vectors of channels; x, weights, bias, y and codes point at the first.
template <class T, int Windows, int Vectors>
FASTCONV_INLINE void tile(const ConvPoolStrip<T>& op, const T* x, const T* weights, const T* bias, T* y,
                          std::uint8_t* codes) {
    constexpr int V = lanes<T>;
    vec<T> acc[Windows][4][Vectors] = {};
    for (index_t r = 0; r < op.tap_rows; ++r) {
        const T* above = x + r * op.row_stride;
        const T* below = above + op.row_stride;
        for (index_t k = 0; k < op.depth; ++k) {
            vec<T> w[Vectors];
            FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) w[j] = load(weights + j * V);
            FASTCONV_UNROLL for (int n = 0; n < Windows; ++n) {
                const T* pixel[4] = {above, above + op.pixel_stride, below, below + op.pixel_stride};
                FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
                    const T scalar = pixel[p][k + 2 * n * op.pixel_stride];
                    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) acc[n][p][j] += scalar * w[j];
                }
            }
            weights += op.weight_stride;
        }
    }
    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) {
        const vec<T> shift = load(bias + j * V);
        FASTCONV_UNROLL for (int n = 0; n < Windows; ++n) {
            vec<T> value[4];
            FASTCONV_UNROLL for (int p = 0; p < 4; ++p) value[p] = acc[n][p][j] + shift;
            const index_t place = n * op.y_stride + j * V;
            store_maximum<T>(value, op.activation == Activation::relu, y + place, codes ? codes + place : nullptr);
        }
    }
}

template <class T, int Vectors>
FASTCONV_INLINE void run_block(const ConvPoolStrip<T>& op, index_t column) {
    const T* weights = op.weights + column;
    const T* bias = op.bias + column;
    std::uint8_t* codes = op.codes ? op.codes + column : nullptr;
    index_t n = 0;
    for (; n + windows_at_once <= op.windows; n += windows_at_once)
        tile<T, windows_at_once, Vectors>(op, op.x + 2 * n * op.pixel_stride, weights, bias,
                                          op.y + n * op.y_stride + column, codes ? codes + n * op.y_stride : nullptr);
    for (; n < op.windows; ++n)
        tile<T, 1, Vectors>(op, op.x + 2 * n * op.pixel_stride, weights, bias, op.y + n * op.y_stride + column,
                            codes ? codes + n * op.y_stride : nullptr);
}

template <class T>
void conv_pool(const ConvPoolStrip<T>& op) noexcept {
    constexpr int V = lanes<T>;
    index_t column = 0;
    for (; column + vectors_at_once * V <= op.columns; column += vectors_at_once * V)
        run_block<T, vectors_at_once>(op, column);
    for (; column < op.columns; column += V) run_block<T, 1>(op, column);
}

}  // namespace

void register_conv_pool(Kernels& table) noexcept {
    table.f32.conv_pool = conv_pool<float>;
    table.f64.conv_pool = conv_pool<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
