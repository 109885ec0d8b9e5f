// The kernel gradient of Winograd F(2x2, 3x3) of few input channels C (formula and layouts: WinogradFewGradient in
// winograd.hpp).
//
// For up to 16 tiles of a row and one vector of output channels, the sums of 4 to 16 positions stay in registers: all
// 16 of one channel, half of them of two or three (16 or 24 registers), a quarter of four (16). A tile loads its 4
// gradients, makes A g A^T of them with 6 additions for 8 positions, and takes C FMAs for each position with the
// patches as broadcasting memory operands. With 16 registers: half of the positions of one channel, else a quarter.
// A's last row and column are negative: their products are subtracted.
#include "kernels/registration.hpp"
#include "kernels/winograd_patches.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::WinogradFewGradient;

// Rows of the 16 positions whose sums are in registers at a time.
template <int Channels>
constexpr int rows_at_once = vector_registers == 32 ? (Channels == 1   ? 4
                                                       : Channels == 4 ? 1
                                                                       : 2)
                                                    : (Channels == 1 ? 2 : 1);

// The sums of position rows First to First + Rows over some tiles and one vector of columns.
template <class T, int Channels, int First, int Rows>
FASTCONV_INLINE void add_rows(const WinogradFewGradient<T>& op, const TransformedPatches<T, Channels>& patches,
                              index_t first, index_t count, index_t k) {
    constexpr int size = TransformedPatches<T, Channels>::size;
    vec<T> sums[Rows][4][Channels];
    T* const s = op.s + 4 * First * op.position_stride + k;
    FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) FASTCONV_UNROLL for (int q = 0; q < 4; ++q)
        FASTCONV_UNROLL for (int c = 0; c < Channels; ++c) sums[p][q][c] =
            load(s + (4 * p + q) * op.position_stride + c * op.columns);
    const bool second_row = op.grad_height > 1;
    // Where the next call will read: lines of one vector of columns lie too far apart to be foreseen.
    const T* const ahead = first + count < op.patches.tiles ? op.grad + 2 * (first + count) * op.grad_pixel_stride + k
                                                            : op.grad + 2 * op.grad_row_stride + k;
    const auto add = [&](index_t n, bool second_column) {
        const T* g = op.grad + 2 * (first + n) * op.grad_pixel_stride + k;
        vec<T> grad[2][2] = {};
        FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
            if (j == 1 && !second_column) break;
            if (First < 3) grad[0][j] = load(g + j * op.grad_pixel_stride);
            if (First + Rows > 1 && second_row) grad[1][j] = load(g + op.grad_row_stride + j * op.grad_pixel_stride);
        }
        if (First == 0) {
            const T* next = ahead + 2 * n * op.grad_pixel_stride;
            FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
                __builtin_prefetch(next + j * op.grad_pixel_stride);
                __builtin_prefetch(next + op.grad_row_stride + j * op.grad_pixel_stride);
            }
        }
        const T* v = patches.v[0] + 2 * Channels * n + 4 * First * size;
        FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) {
            // A times a column of two, but for the sign of -b, which the products take; then the same along the row.
            vec<T> t[2];
            FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
                if (First + p == 0) t[j] = grad[0][j];
                if (First + p == 1) t[j] = grad[0][j] + grad[1][j];
                if (First + p == 2) t[j] = grad[0][j] - grad[1][j];
                if (First + p == 3) t[j] = grad[1][j];
            }
            const vec<T> out[4] = {t[0], t[0] + t[1], t[0] - t[1], t[1]};
            FASTCONV_UNROLL for (int q = 0; q < 4; ++q) {
                FASTCONV_UNROLL for (int c = 0; c < Channels; ++c) {
                    const T value = v[(4 * p + q) * size + c];
                    if ((First + p == 3) != (q == 3))
                        sums[p][q][c] -= value * out[q];
                    else
                        sums[p][q][c] += value * out[q];
                }
            }
        }
    };
    const index_t whole = 2 * (first + count) <= op.grad_width ? count : count - 1;
    for (index_t n = 0; n < whole; ++n) add(n, true);
    if (whole < count) add(whole, false);
    FASTCONV_UNROLL for (int p = 0; p < Rows; ++p) FASTCONV_UNROLL for (int q = 0; q < 4; ++q)
        FASTCONV_UNROLL for (int c = 0; c < Channels; ++c)
            store(s + (4 * p + q) * op.position_stride + c * op.columns, sums[p][q][c]);
}

template <class T, int Channels>
void gradient(const WinogradFewGradient<T>& op) noexcept {
    constexpr int Rows = rows_at_once<Channels>;
    for_patches<T, Channels>(op.patches, [&](index_t first, index_t count, const auto& patches) {
        for (index_t k = 0; k < op.columns; k += lanes<T>) {
            add_rows<T, Channels, 0, Rows>(op, patches, first, count, k);
            if constexpr (Rows < 4) {
                if constexpr (Rows == 1) {
                    add_rows<T, Channels, 1, 1>(op, patches, first, count, k);
                    add_rows<T, Channels, 3, 1>(op, patches, first, count, k);
                }
                add_rows<T, Channels, 2, Rows>(op, patches, first, count, k);
            }
        }
    });
}

template <class T>
void winograd_few_gradient(const WinogradFewGradient<T>& op) noexcept {
    switch (op.patches.channels) {
        case 1:
            return gradient<T, 1>(op);
        case 2:
            return gradient<T, 2>(op);
        case 3:
            return gradient<T, 3>(op);
        default:
            return gradient<T, 4>(op);
    }
}

}  // namespace

void register_winograd_few_gradient(Kernels& table) noexcept {
    table.f32.winograd_few_gradient = winograd_few_gradient<float>;
    table.f64.winograd_few_gradient = winograd_few_gradient<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
