// The products of Winograd F(2x2, 3x3), the transform back and 2x2 max pooling in registers (formula and layouts:
// WinogradConvPool in table.hpp).
//
// Six tiles times one vector of output channels are 24 accumulators of outputs; the products of one of the 16
// positions are 6 more, which then enter the outputs with A^T's signs: 36 additions for a tile, on other pipes than
// the FMAs of the next position. 24 + 6 + 1 vector of weights = 31 registers. A step of the sum loads one vector of
// weights for 6 FMAs with broadcasting memory operands. What the 16 products would write and read again, 16 values
// for every maximum, never reaches memory. With 16 registers there is no room for it.
#include "kernels/registration.hpp"
#include "kernels/row_pointers.hpp"
#include "kernels/window_maximum.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::WinogradConvPool;

constexpr int most_tiles = 6;
template <class T>
constexpr int steps = lanes<T> < 4 ? lanes<T> : 4;                  // of the sum, unrolled: divides the channels
constexpr int output_signs[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};  // A^T

// `Tiles` tiles and one vector of output channels; v, u, bias, y and codes point at the first.
template <class T, int Tiles>
void run_tiles(const WinogradConvPool<T>& op, const T* v, const T* u, const T* bias, T* y,
               std::uint8_t* codes) noexcept {
    constexpr int V = lanes<T>;
    const index_t channels = op.channels, v_stride = op.v_position_stride, u_stride = op.u_position_stride;
    vec<T> out[Tiles][4] = {};
    FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
        FASTCONV_UNROLL for (int q = 0; q < 4; ++q) {
            RowPointers<T, Tiles> rows(v, channels);
            const T* weights = u;
            vec<T> sum[Tiles] = {};
            for (index_t c = 0; c < channels; c += steps<T>) {
                FASTCONV_UNROLL for (int step = 0; step < steps<T>; ++step) {
                    const vec<T> w = load(weights + step * V);
                    FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) sum[n] += rows.row(n)[step] * w;
                }
                rows.advance(steps<T>);
                weights += steps<T> * V;
            }
            v += v_stride;
            u += u_stride;
            FASTCONV_UNROLL for (int i = 0; i < 2; ++i) FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
                const int sign = output_signs[i][p] * output_signs[j][q];
                FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
                    if (sign > 0) out[n][2 * i + j] += sum[n];
                    if (sign < 0) out[n][2 * i + j] -= sum[n];
                }
            }
        }
    }
    const vec<T> shift = load(bias);
    const bool relu = op.activation == Activation::relu;
    FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
        FASTCONV_UNROLL for (int i = 0; i < 4; ++i) out[n][i] += shift;
        store_maximum<T>(out[n], relu, y + n * op.y_stride, codes ? codes + n * op.y_stride : nullptr);
    }
}

template <class T>
using Run = void (*)(const WinogradConvPool<T>&, const T*, const T*, const T*, T*, std::uint8_t*) noexcept;

template <class T>
constexpr Run<T> run_of[most_tiles] = {run_tiles<T, 1>, run_tiles<T, 2>, run_tiles<T, 3>,
                                       run_tiles<T, 4>, run_tiles<T, 5>, run_tiles<T, 6>};

template <class T>
void winograd_conv_pool(const WinogradConvPool<T>& op) noexcept {
    constexpr int V = lanes<T>;
    for (index_t first = 0; first < op.tiles;) {
        // As equal in height as can be.
        const index_t left = op.tiles - first, groups = (left + most_tiles - 1) / most_tiles;
        const index_t tiles = (left + groups - 1) / groups;
        for (index_t k = 0; k < op.columns; k += V) {
            const index_t place = first * op.y_stride + k;
            run_of<T>[tiles - 1](op, op.v + first * op.channels, op.u + k / V * op.u_block_stride, op.bias + k,
                                 op.y + place, op.codes ? op.codes + place : nullptr);
        }
        first += tiles;
    }
}

}  // namespace

void register_winograd_conv_pool(Kernels& table) noexcept {
    if constexpr (vector_registers == 32) {
        table.f32.winograd_conv_pool = winograd_conv_pool<float>;
        table.f64.winograd_conv_pool = winograd_conv_pool<double>;
    }
}

}  // namespace fastconv::FASTCONV_LEVEL
