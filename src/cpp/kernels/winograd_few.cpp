// Winograd F(2x2, 3x3) of few input channels C, from the image to the result in one pass (formulas and layouts:
// WinogradFew in winograd.hpp).
//
// The transformed patches of up to 16 tiles of a row are made once for all output channels and stay in the
// first-level cache; FMAs read them as broadcasting memory operands. The sums over C of a row of four positions, m0
// to m3, are transformed along the row at once:
//   s = m1 + m2, d = m1 - m2, then m0 + s and d - m3 as further products on top of s and d
// so that a tile and vector of output channels takes 16 C multiplications and 16 additions, 8 of these down the
// columns. The bias starts m1 of the second row, which enters all four outputs.
//
// C = 1: the 16 vectors of weights stay in registers over a row of tiles; 16 + 4 outputs + 4 of a row = 24 of 32.
// With 16 registers weights are memory operands. Else four tiles share each load of weights: 16 outputs + 8 sums + 2
// = 26; with 16 registers two: 8 + 4 + 2 = 14.
#include "kernels/registration.hpp"
#include "kernels/row_pointers.hpp"
#include "kernels/tile_writer.hpp"
#include "kernels/window_maximum.hpp"
#include "kernels/winograd_patches.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::few_channels;
using kernels::WinogradFew;
using kernels::WinogradFewOutput;
using kernels::WinogradFewPool;

// Tiles that share a load of weights.
constexpr int tiles_at_once = vector_registers == 32 ? 4 : 2;

// A^T down the columns: what row p of positions adds to the outputs.
template <class T>
FASTCONV_INLINE void add_row(int p, const vec<T> (&sums)[2], vec<T> (&y)[4]) {
    FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
        if (p == 0) y[j] = sums[j];
        if (p == 1) y[j] += sums[j], y[2 + j] = sums[j];
        if (p == 2) y[j] += sums[j], y[2 + j] -= sums[j];
        if (p == 3) y[2 + j] -= sums[j];
    }
}

// Y + bias of `Tiles` tiles and one vector of columns.
template <class T, int Tiles>
FASTCONV_INLINE void outputs(const T* v, int channels, const T* u, index_t u_stride, vec<T> shift,
                             vec<T> (&y)[Tiles][4]) {
    constexpr int size = TransformedPatches<T, few_channels>::size, V = lanes<T>;
    FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
        vec<T> a[Tiles], b[Tiles];
        FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
            // The second product enters all four outputs, and so does the bias with it.
            a[n] = p == 1 ? shift : vec<T>{};
            b[n] = vec<T>{};
        }
        RowPointers<T, Tiles> rows(v + 4 * p * size, 2 * channels);
        const T* weights = u + 4 * p * u_stride;
        for (int c = 0; c < channels; ++c) {
            const vec<T> u1 = load(weights + u_stride), u2 = load(weights + 2 * u_stride);
            FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
                a[n] += rows.row(n)[size] * u1;
                b[n] += rows.row(n)[2 * size] * u2;
            }
            rows.advance(1);
            weights += V;
        }
        FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
            const vec<T> second = b[n];
            b[n] = a[n] - second;
            a[n] += second;
        }
        rows = RowPointers<T, Tiles>(v + 4 * p * size, 2 * channels);
        weights = u + 4 * p * u_stride;
        for (int c = 0; c < channels; ++c) {
            const vec<T> u0 = load(weights), u3 = load(weights + 3 * u_stride);
            FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
                a[n] += rows.row(n)[0] * u0;
                b[n] -= rows.row(n)[3 * size] * u3;
            }
            rows.advance(1);
            weights += V;
        }
        FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
            const vec<T> sums[2] = {a[n], b[n]};
            add_row<T>(p, sums, y[n]);
        }
    }
}

// The same of one tile of one channel with weights in registers.
template <class T>
FASTCONV_INLINE void outputs(const T* v, const vec<T> (&u)[16], vec<T> shift, vec<T> (&y)[4]) {
    constexpr int size = TransformedPatches<T, 1>::size;
    FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
        const T* row = v + 4 * p * size;
        const vec<T>* w = u + 4 * p;
        vec<T> a = p == 1 ? shift + row[size] * w[1] : row[size] * w[1], b = row[2 * size] * w[2];
        // Rounded by themselves: 4 operations on the pipes of FMAs and 2 on the others, not 5 and none.
        keep_in_register(a);
        keep_in_register(b);
        const vec<T> sums[2] = {a + b + row[0] * w[0], a - b - row[3 * size] * w[3]};
        add_row<T>(p, sums, y);
    }
}

// finish(n, k, y) for each tile and vector of columns.
template <class T, class Finish>
FASTCONV_INLINE void run_one_channel(const WinogradFew<T>& op, Finish& finish) {
    for_patches<T, 1>(op.patches, [&](index_t first, index_t count, const auto& patches) {
        for (index_t k = 0; k < op.columns; k += lanes<T>) {
            const vec<T> shift = op.bias ? load(op.bias + k) : vec<T>{};
            vec<T> u[16];
            FASTCONV_UNROLL for (int i = 0; i < 16; ++i) u[i] =
                load(op.u + k / lanes<T> * op.u_block_stride + i * op.u_position_stride);
            for (index_t n = 0; n < count; ++n) {
                vec<T> y[4];
                outputs<T>(patches.v[0] + 2 * n, u, shift, y);
                finish(first + n, k, y);
            }
        }
    });
}

template <class T, class Finish>
FASTCONV_INLINE void run(const WinogradFew<T>& op, Finish& finish) {
    constexpr int Tiles = tiles_at_once;
    const int channels = op.patches.channels;
    for_patches<T, few_channels>(op.patches, [&](index_t first, index_t count, const auto& patches) {
        // All columns of some tiles before the next, so that results come in the order in which they lie in memory.
        const auto tiles = [&](index_t n, auto& y) {
            constexpr int number = sizeof(y) / sizeof(y[0]);
            for (index_t k = 0; k < op.columns; k += lanes<T>) {
                const vec<T> shift = op.bias ? load(op.bias + k) : vec<T>{};
                outputs<T, number>(patches.v[0] + 2 * channels * n, channels, op.u + k / lanes<T> * op.u_block_stride,
                                   op.u_position_stride, shift, y);
                FASTCONV_UNROLL for (int i = 0; i < number; ++i) finish(first + n + i, k, y[i]);
            }
        };
        for (index_t n = 0; n < count;) {
            // Of the last ones some a second time, if that is quicker than each alone.
            if (count - n > 1 && count >= Tiles) {
                if (count - n < Tiles) n = count - Tiles;
                vec<T> y[Tiles][4];
                tiles(n, y);
                n += Tiles;
            } else {
                vec<T> y[1][4];
                tiles(n++, y);
            }
        }
    });
}

template <class T>
void winograd_few_pool(const WinogradFewPool<T>& op) noexcept {
    const bool relu = op.sums.activation == Activation::relu;
    const auto finish = [&](index_t n, index_t k, const vec<T>(&y)[4]) {
        const index_t place = n * op.y_stride + k;
        store_maximum<T>(y, relu, op.y + place, op.codes ? op.codes + place : nullptr);
    };
    if (op.sums.patches.channels == 1)
        run_one_channel(op.sums, finish);
    else
        run(op.sums, finish);
}

template <class T>
bool winograd_few_output(const WinogradFewOutput<T>& op) noexcept {
    TileWriter<T, WinogradFewOutput<T>> write(op, op.sums.activation);
    if (op.sums.patches.channels == 1)
        run_one_channel(op.sums, write);
    else
        run(op.sums, write);
    return write.finish();
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    // With FMAs and 16 registers the loads of more channels take as long as what they save.
    table.winograd_few_forward = vector_registers == 16 && vector_bytes > 16 ? 1 : few_channels;
    table.winograd_few_pool = winograd_few_pool<T>;
    table.winograd_few_output = winograd_few_output<T>;
}

}  // namespace

void register_winograd_few(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
