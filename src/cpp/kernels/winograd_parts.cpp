// Winograd by parts of a kernel (formulas and layouts: winograd_parts.hpp).
//
// Both transforms of inputs are sums of two vectors, lanes being tiles that follow each other; entries without a
// second input name zeros as such. Products: four tiles share each load of weights, and read their inputs as
// broadcasting memory operands. Of a row of four positions m1 and m2 are summed side by side; then m0 and m3 are
// further products on top of m1 + m2 and m1 - m2: 16 outputs + 8 sums + 2 of weights = 26 registers of 32. With 16 of
// them there is no kernel: loads would take as long as the products that are saved.
#include "kernels/registration.hpp"
#include "kernels/tile_writer.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::PairSums;
using kernels::parts_tiles;
using kernels::WinogradParts;

template <class T>
void pair_sums(const PairSums<T>& op) noexcept {
    const index_t size = op.size;
    T* out = op.out;
    for (index_t i = 0; i < op.count; ++i, out += size) {
        const T *a = op.x + op.pairs[i].a, *b = op.x + op.pairs[i].b;
        const vec<T> sign = broadcast(op.pairs[i].sign);
        for (index_t j = 0; j < size; j += lanes<T>) store(out + j, vec<T>(load(a + j) + sign * load(b + j)));
    }
}

// Adds the products of `count` entries to the sums of `Tiles` tiles.
template <class T, int Tiles>
FASTCONV_INLINE void add_products(const T* v, const T* u, index_t count, vec<T> (&sums)[Tiles]) {
    for (index_t i = 0; i < count; ++i, v += parts_tiles, u += lanes<T>) {
        const vec<T> weights = load(u);
        FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) sums[n] += v[n] * weights;
    }
}

// Y + bias of `Tiles` tiles and one vector of columns; starts[position] is its first entry.
template <class T, int Tiles>
FASTCONV_INLINE void outputs(const T* v, const T* u, const index_t* starts, vec<T> shift, vec<T> (&y)[Tiles][4]) {
    constexpr int V = lanes<T>;
    FASTCONV_UNROLL for (int p = 0; p < 4; ++p) {
        const index_t* start = starts + 4 * p;
        vec<T> a[Tiles], b[Tiles];
        FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
            // The second product enters all four outputs, and so does the bias with it.
            a[n] = p == 1 ? shift : vec<T>{};
            b[n] = vec<T>{};
        }
        const index_t second = start[3] - start[2], first = start[2] - start[1];
        const T *v1 = v + start[1] * parts_tiles, *v2 = v + start[2] * parts_tiles;
        const T *u1 = u + start[1] * V, *u2 = u + start[2] * V;
        for (index_t i = 0; i < second; ++i, v1 += parts_tiles, v2 += parts_tiles, u1 += V, u2 += V) {
            const vec<T> w1 = load(u1), w2 = load(u2);
            FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
                a[n] += v1[n] * w1;
                b[n] += v2[n] * w2;
            }
        }
        add_products<T, Tiles>(v1, u1, first - second, a);
        FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
            const vec<T> m2 = b[n];
            b[n] = a[n] - m2;
            a[n] += m2;
        }
        const T *v0 = v + start[0] * parts_tiles, *v3 = v + start[3] * parts_tiles;
        const T *u0 = u + start[0] * V, *u3 = u + start[3] * V;
        const index_t outer = start[1] - start[0];
        for (index_t i = 0; i < outer; ++i, v0 += parts_tiles, v3 += parts_tiles, u0 += V, u3 += V) {
            const vec<T> w0 = load(u0), w3 = load(u3);
            FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
                a[n] += v0[n] * w0;
                b[n] -= v3[n] * w3;
            }
        }
        FASTCONV_UNROLL for (int n = 0; n < Tiles; ++n) {
            if (p == 0) y[n][0] = a[n], y[n][1] = b[n];
            if (p == 1) y[n][0] += a[n], y[n][1] += b[n], y[n][2] = a[n], y[n][3] = b[n];
            if (p == 2) y[n][0] += a[n], y[n][1] += b[n], y[n][2] -= a[n], y[n][3] -= b[n];
            if (p == 3) y[n][2] -= a[n], y[n][3] -= b[n];
        }
    }
}

template <class T>
bool winograd_parts(const WinogradParts<T>& op) noexcept {
    constexpr int Tiles = 4;
    TileWriter<T, WinogradParts<T>> write(op, op.activation);
    index_t starts[17] = {};
    for (int i = 0; i < 16; ++i) starts[i + 1] = starts[i] + op.depths[i];
    for (index_t k = 0; k < op.columns; k += lanes<T>) {
        const vec<T> shift = op.bias ? load(op.bias + k) : vec<T>{};
        const T* u = op.u + k * op.entries;
        for (index_t n = 0; n < op.tiles; n += Tiles) {
            vec<T> y[Tiles][4];
            outputs<T, Tiles>(op.v + n, u, starts, shift, y);
            FASTCONV_UNROLL for (int i = 0; i < Tiles; ++i) if (n + i < op.tiles) write(n + i, k, y[i]);
        }
    }
    return write.finish();
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.pair_sums = pair_sums<T>;
    if constexpr (vector_registers == 32) table.winograd_parts = winograd_parts<T>;
}

}  // namespace

void register_winograd_parts(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
