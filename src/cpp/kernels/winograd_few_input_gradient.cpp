// The products of Winograd F(2x2, 3x3)'s input gradient for few input channels C (formula and layouts:
// WinogradFewInputGradient in winograd.hpp).
//
// Lanes are tiles. The sums of 4 to 16 positions stay in registers over all filters: 16 positions of one channel,
// half of them of two or three (16 or 24 registers), a quarter of four (16). A step loads the 4 gradients of a tile,
// makes A g A^T of them with 6 additions for 8 positions, and takes C FMAs for each position with the weights as
// broadcasting memory operands. With 16 registers: half of the positions of one channel, else a quarter.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::WinogradFewInputGradient;

// Rows of the 16 positions whose sums are in registers at a time.
template <int Channels>
constexpr int rows_at_once = vector_registers == 32 ? (Channels == 1   ? 4
                                                       : Channels == 4 ? 1
                                                                       : 2)
                                                    : (Channels == 1 ? 2 : 1);

// The sums of position rows First to First + Rows for the vector of tiles at column n.
template <class T, int Channels, int First, int Rows>
FASTCONV_INLINE void sum_rows(const WinogradFewInputGradient<T>& op, index_t n) {
    vec<T> sums[Rows][4][Channels] = {};
    const T* g[2] = {op.grad + n, op.grad + 2 * op.position_stride + n};
    const T* u = op.u + 4 * First * Channels;
    for (index_t k = 0; k < op.depth; ++k) {
        vec<T> grad[2][2] = {};
        FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
            if (First < 3) grad[0][j] = load(g[0] + j * op.position_stride);
            if (First + Rows > 1) grad[1][j] = load(g[1] + j * op.position_stride);
        }
        FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) {
            vec<T> t[2];
            FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
                if (First + p == 0) t[j] = grad[0][j];
                if (First + p == 1) t[j] = grad[0][j] + grad[1][j];
                if (First + p == 2) t[j] = grad[0][j] - grad[1][j];
                if (First + p == 3) t[j] = grad[1][j];
            }
            vec<T> out[4] = {t[0], t[0] + t[1], t[0] - t[1], t[1]};
            FASTCONV_UNROLL for (int q = 0; q < 4; ++q) {
                keep_in_register(out[q]);
                FASTCONV_UNROLL for (int c = 0; c < Channels; ++c) sums[p][q][c] +=
                    u[(4 * p + q) * Channels + c] * out[q];
            }
        }
        FASTCONV_UNROLL for (int i = 0; i < 2; ++i) g[i] += op.grad_stride;
        u += 16 * Channels;
    }
    T* z = op.z + 4 * First * Channels * op.z_stride + n;
    FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) FASTCONV_UNROLL for (int q = 0; q < 4; ++q)
        FASTCONV_UNROLL for (int c = 0; c < Channels; ++c, z += op.z_stride) store(z, sums[p][q][c]);
}

template <class T, int Channels>
void products(const WinogradFewInputGradient<T>& op) noexcept {
    constexpr int Rows = rows_at_once<Channels>;
    for (index_t n = 0; n < op.tiles; n += lanes<T>) {
        sum_rows<T, Channels, 0, Rows>(op, n);
        if constexpr (Rows < 4) {
            if constexpr (Rows == 1) {
                sum_rows<T, Channels, 1, 1>(op, n);
                sum_rows<T, Channels, 2, 1>(op, n);
                sum_rows<T, Channels, 3, 1>(op, n);
            } else {
                sum_rows<T, Channels, 2, 2>(op, n);
            }
        }
    }
}

template <class T>
void winograd_few_input_gradient(const WinogradFewInputGradient<T>& op) noexcept {
    switch (op.channels) {
        case 1:
            return products<T, 1>(op);
        case 2:
            return products<T, 2>(op);
        case 3:
            return products<T, 3>(op);
        default:
            return products<T, 4>(op);
    }
}

}  // namespace

void register_winograd_few_input_gradient(Kernels& table) noexcept {
    table.f32.winograd_few_input_gradient = winograd_few_input_gradient<float>;
    table.f64.winograd_few_input_gradient = winograd_few_input_gradient<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
