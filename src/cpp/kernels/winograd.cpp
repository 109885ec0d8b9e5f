// The transforms of Winograd F(2x2, 3x3) and F(4x4, 3x3), one axis after the other (winograd_transforms.hpp; layouts:
// kernels/winograd.hpp); the products in between are BatchReduce.
//
// 16 multiplications make 4 outputs instead of 36, or 36 make 16 instead of 144. One vector of channels at a time. Of
// F(2x2) its 16 values stay in registers: 32 additions for an input patch (24 beside a neighbour), 24 for an output
// tile, 12 for a gradient tile. Of F(4x4) 36 values go through the first-level cache in between: 144 (120)
// multiply-adds for an input patch, 120 operations for an output tile; as much for an output pixel.
#include "kernels/registration.hpp"
#include "kernels/window_maximum.hpp"
#include "kernels/winograd_transforms.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::WinogradInput;
using kernels::WinogradKernel;
using kernels::WinogradOutput;
using kernels::WinogradPool;
using kernels::WinogradWeights;

template <class T>
constexpr T zeros[lanes<T>] = {};

template <class T, int Outputs>
FASTCONV_INLINE void input_by_vectors(const WinogradInput<T>& op) {
    constexpr int V = lanes<T>, P = Outputs + 2;
    for (index_t c = 0; c < op.channels; c += V) {
        // Rows outside the image read one vector of zeros again and again.
        const T* rows[P];
        index_t moves[P];
        FASTCONV_UNROLL for (int p = 0; p < P; ++p) {
            const bool inside = op.row + p >= 0 && op.row + p < op.height;
            rows[p] = inside ? op.x + (op.row + p) * op.row_stride + c : zeros<T>;
            moves[p] = inside ? -1 : 0;
        }
        const auto column = [&](index_t q, vec<T>(&t)[P]) {
            vec<T> d[P] = {};
            if (q >= 0 && q < op.width) {
                const index_t place = q * op.pixel_stride;
                FASTCONV_UNROLL for (int p = 0; p < P; ++p) d[p] = load(rows[p] + (place & moves[p]));
            }
            input_column<T>(d, t);
        };
        // Neighbouring patches share two columns, transformed once.
        vec<T> t[P][P];
        column(op.column, t[0]);
        column(op.column + 1, t[1]);
        for (index_t n = 0; n < op.tiles; ++n) {
            FASTCONV_UNROLL for (int q = 2; q < P; ++q) column(op.column + Outputs * n + q, t[q]);
            T* v = op.v + n * op.channels + c;
            FASTCONV_UNROLL for (int p = 0; p < P; ++p) {
                vec<T> row[P], out[P];
                FASTCONV_UNROLL for (int q = 0; q < P; ++q) row[q] = t[q][p];
                input_column<T>(row, out);
                FASTCONV_UNROLL for (int q = 0; q < P; ++q) store(v + (P * p + q) * op.position_stride, out[q]);
            }
            FASTCONV_UNROLL for (int p = 0; p < P; ++p) {
                t[0][p] = t[Outputs][p];
                t[1][p] = t[Outputs + 1][p];
            }
        }
    }
}

template <class T>
FASTCONV_INLINE void input_by_patches(const WinogradInput<T>& op) {
    constexpr int V = lanes<T>, P = 4;
    for (index_t n = 0; n < op.tiles; ++n) {
        // Pixels outside read one vector of zeros again and again.
        const T* pixels[P][P];
        index_t moves[P][P];
        FASTCONV_UNROLL for (int p = 0; p < P; ++p) {
            FASTCONV_UNROLL for (int q = 0; q < P; ++q) {
                const index_t row = op.row + p, column = op.column + 2 * n + q;
                const bool inside = row >= 0 && row < op.height && column >= 0 && column < op.width;
                pixels[p][q] = inside ? op.x + row * op.row_stride + column * op.pixel_stride : zeros<T>;
                moves[p][q] = inside ? -1 : 0;
            }
        }
        T* v = op.v + n * op.channels;
        for (index_t c = 0; c < op.channels; c += V, v += V) {
            vec<T> t[P][P];
            FASTCONV_UNROLL for (int q = 0; q < P; ++q) {
                vec<T> d[P];
                FASTCONV_UNROLL for (int p = 0; p < P; ++p) d[p] = load(pixels[p][q] + (c & moves[p][q]));
                input_column<T>(d, t[q]);
            }
            FASTCONV_UNROLL for (int p = 0; p < P; ++p) {
                vec<T> row[P], out[P];
                FASTCONV_UNROLL for (int q = 0; q < P; ++q) row[q] = t[q][p];
                input_column<T>(row, out);
                FASTCONV_UNROLL for (int q = 0; q < P; ++q) store(v + (P * p + q) * op.position_stride, out[q]);
            }
        }
    }
}

// A vector of channels of all patches at a time computes less; all channels of a patch at a time go through images
// and v in the order of memory, and wait less for their lines. Times as fast, AVX-512, 1 thread and 2:
//
//   26x26   16 ->  32, batch 128   0.92  0.92        56x56   64 ->  64, batch 1   1.02  0.98
//   15x15   32 ->  32, batch 128   0.92  0.99       224x224  64 ->  64, batch 1   1.05  1.06
//   13x13   32 ->  64, batch 128   0.93  0.96        14x14  256 -> 256, batch 1   1.04  0.99
//                                                    14x14  512 -> 512, batch 1   1.02  1.04
//
// (F(4x4, 3x3) multiplies, and rounds otherwise in another order: it has one.)
constexpr int fewest_vectors_by_patches = 4;

template <class T, int Outputs>
void winograd_input(const WinogradInput<T>& op) noexcept {
    if constexpr (Outputs == 2)
        if (op.channels >= fewest_vectors_by_patches * lanes<T>) return input_by_patches(op);
    input_by_vectors<T, Outputs>(op);
}

template <class T, int Outputs, bool Stream>
FASTCONV_INLINE void transform_weights(const WinogradWeights<T>& op) {
    constexpr int V = lanes<T>, P = Outputs + 2;
    const index_t last = op.flip ? 8 : 0, step = op.flip ? -1 : 1;
    for (index_t c = 0; c < op.channels; ++c) {
        for (index_t k = 0; k < op.columns; k += V) {
            const T* g = op.g + c * op.channel_stride + k;
            vec<T> t[3][P];  // columns of G g
            FASTCONV_UNROLL for (int s = 0; s < 3; ++s) {
                vec<T> taps[3];
                FASTCONV_UNROLL for (int r = 0; r < 3; ++r) taps[r] =
                    load(g + (last + step * (3 * r + s)) * op.tap_stride);
                weight_column<T>(taps, t[s]);
            }
            T* u = op.u + k / op.width * op.block_stride + c * op.width + k % op.width;
            FASTCONV_UNROLL for (int p = 0; p < P; ++p) {
                const vec<T> row[3] = {t[0][p], t[1][p], t[2][p]};
                vec<T> out[P];
                weight_column<T>(row, out);
                FASTCONV_UNROLL for (int q = 0; q < P; ++q)
                    store_or_stream(u + (P * p + q) * op.position_stride, out[q], Stream);
            }
        }
    }
}

template <class T, int Outputs>
void winograd_weights(const WinogradWeights<T>& op) noexcept {
    if (!op.stream) return transform_weights<T, Outputs, false>(op);
    transform_weights<T, Outputs, true>(op);
    stream_fence();
}

// A^T M A for one vector of columns.
template <class T, int Outputs>
FASTCONV_INLINE void output_tile(const T* m, index_t position_stride, vec<T> (&y)[Outputs][Outputs]) {
    constexpr int P = Outputs + 2;
    vec<T> t[P][Outputs];  // columns of A^T M
    FASTCONV_UNROLL for (int q = 0; q < P; ++q) {
        vec<T> d[P];
        FASTCONV_UNROLL for (int p = 0; p < P; ++p) d[p] = load(m + (P * p + q) * position_stride);
        output_column<T>(d, t[q]);
    }
    FASTCONV_UNROLL for (int p = 0; p < Outputs; ++p) {
        vec<T> row[P];
        FASTCONV_UNROLL for (int q = 0; q < P; ++q) row[q] = t[q][p];
        output_column<T>(row, y[p]);
    }
}

template <class T>
void winograd_pool(const WinogradPool<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const bool relu = op.activation == Activation::relu;
    for (index_t n = 0; n < op.tiles; ++n) {
        for (index_t k = 0; k < op.columns; k += V) {
            const index_t place = n * op.y_stride + k;
            const vec<T> shift = load(op.bias + k);
            vec<T> tile[2][2];
            output_tile<T, 2>(op.m + n * op.columns + k, op.position_stride, tile);
            const vec<T> y[4] = {tile[0][0] + shift, tile[0][1] + shift, tile[1][0] + shift, tile[1][1] + shift};
            store_maximum<T>(y, relu, op.y + place, op.codes ? op.codes + place : nullptr);
        }
    }
}

template <class T, int Outputs>
bool winograd_output(const WinogradOutput<T>& op) noexcept {
    constexpr int V = lanes<T>;
    // max(floor, v) is ReLU or nothing, and keeps NaN.
    const vec<T> floor = broadcast<T>(op.activation == Activation::relu ? T(0) : -static_cast<T>(__builtin_inff()));
    vec<T> check{};  // 0 as long as all is finite, else NaN
    for (index_t n = 0; n < op.tiles; ++n) {
        const index_t width = op.width - Outputs * n;
        for (index_t k = 0; k < op.columns; k += V) {
            vec<T> y[Outputs][Outputs];
            output_tile<T, Outputs>(op.m + n * op.columns + k, op.position_stride, y);
            const vec<T> shift = op.bias ? load(op.bias + k) : vec<T>{};
            T* out = op.y + Outputs * n * op.pixel_stride + k;
            vec<T> sum{};
            FASTCONV_UNROLL for (int p = 0; p < Outputs; ++p) {
                FASTCONV_UNROLL for (int q = 0; q < Outputs; ++q) {
                    sum += y[p][q];
                    if (p < op.height && q < width)
                        store(out + p * op.row_stride + q * op.pixel_stride, larger(floor, y[p][q] + shift));
                }
            }
            check += sum - sum;
        }
    }
    return mask_bits(static_cast<mask<T>>(different(check, vec<T>{}))) == 0;
}

template <class T>
void winograd_gradient(const WinogradInput<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const bool second_row = op.row + 1 < op.height;
    for (index_t n = 0; n < op.tiles; ++n) {
        const index_t q = op.column + 2 * n;
        const T* x = op.x + op.row * op.row_stride + q * op.pixel_stride;
        for (index_t k = 0; k < op.channels; k += V) {
            // A times a column of two.
            const auto column = [&](const T* g, vec<T>(&t)[4]) {
                const vec<T> lower = second_row ? load(g + op.row_stride) : vec<T>{};
                t[0] = load(g);
                t[1] = t[0] + lower;
                t[2] = t[0] - lower;
                t[3] = -lower;
            };
            vec<T> t[2][4] = {};
            column(x + k, t[0]);
            if (q + 1 < op.width) column(x + op.pixel_stride + k, t[1]);
            T* v = op.v + n * op.channels + k;
            FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
                const vec<T> out[4] = {t[0][p], t[0][p] + t[1][p], t[0][p] - t[1][p], -t[1][p]};
                FASTCONV_UNROLL for (int i = 0; i < 4; ++i) store(v + (4 * p + i) * op.position_stride, out[i]);
            }
        }
    }
}

// G^T times a column of four.
template <class T>
FASTCONV_INLINE void kernel_column(const vec<T> (&s)[4], vec<T> (&t)[3]) {
    const vec<T> half = (s[1] + s[2]) * T(0.5);
    t[0] = s[0] + half;
    t[1] = (s[1] - s[2]) * T(0.5);
    t[2] = half + s[3];
}

template <class T, bool Stream>
FASTCONV_INLINE bool transform_kernel(const WinogradKernel<T>& op) {
    constexpr int V = lanes<T>;
    vec<T> check{};  // 0 as long as all is finite, else NaN
    for (index_t c = 0; c < op.channels; ++c) {
        for (index_t k = 0; k < op.columns; k += V) {
            const T* s = op.s + c * op.columns + k;
            vec<T> t[4][3];  // columns of G^T S
            FASTCONV_UNROLL for (int q = 0; q < 4; ++q) {
                vec<T> d[4];
                FASTCONV_UNROLL for (int p = 0; p < 4; ++p) d[p] = load(s + (4 * p + q) * op.position_stride);
                kernel_column<T>(d, t[q]);
            }
            T* dw = op.dw + c * op.channel_stride + k;
            vec<T> sum{};
            FASTCONV_UNROLL for (int r = 0; r < 3; ++r) {
                const vec<T> row[4] = {t[0][r], t[1][r], t[2][r], t[3][r]};
                vec<T> out[3];
                kernel_column<T>(row, out);
                FASTCONV_UNROLL for (int q = 0; q < 3; ++q) {
                    sum += out[q];
                    store_or_stream(dw + (3 * r + q) * op.tap_stride, out[q], Stream);
                }
            }
            check += sum - sum;
        }
    }
    return mask_bits(static_cast<mask<T>>(different(check, vec<T>{}))) == 0;
}

template <class T>
bool winograd_kernel(const WinogradKernel<T>& op) noexcept {
    if (!op.stream) return transform_kernel<T, false>(op);
    const bool finite = transform_kernel<T, true>(op);
    stream_fence();
    return finite;
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.winograd_2x2 = {2, winograd_input<T, 2>, winograd_weights<T, 2>, winograd_output<T, 2>};
    table.winograd_4x4 = {4, winograd_input<T, 4>, winograd_weights<T, 4>, winograd_output<T, 4>};
    table.winograd_pool = winograd_pool<T>;
    table.winograd_gradient = winograd_gradient<T>;
    table.winograd_kernel = winograd_kernel<T>;
}

}  // namespace

void register_winograd(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
