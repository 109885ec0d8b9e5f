// Products with few columns, the lanes along the sum (formula, layouts and order of sums: InnerProducts in
// table.hpp).
//
// A tile of Rows x Columns accumulators stays in registers over the whole depth. A step loads Rows vectors of A and
// one of B at a time:
//
//   4x6 + 4 of A + 1 of B = 29 of AVX-512's 32 registers
//
// With 10 columns this does all 16 lanes' work in 10 steps, where the tile of batch_reduce leaves 6 lanes idle. With
// 16 registers of 8 lanes it lost, at 4 to 24 columns and depth 64 to 1600: 0.4 to 0.9 times the speed of
// batch_reduce.
#include "kernels/registration.hpp"
#include "simd/lane_sums.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::InnerProducts;

constexpr int tile_rows = 4;
constexpr int widest = 6;

template <class T>
FASTCONV_INLINE T finished(T sum, const T* bias, Activation activation) {
    if (bias) sum += *bias;
    return activation == Activation::relu && sum < 0 ? T(0) : sum;
}

template <class T, int Rows, int Columns>
void tile(const InnerProducts<T>& op, const T* a, const T* b, const T* bias, T* c) noexcept {
    constexpr int V = lanes<T>;
    constexpr int vectors = (Rows * Columns + V - 1) / V;  // of results
    vec<T> acc[Rows * Columns] = {};
    alignas(vector_bytes) T a_copy[Rows][V], b_copy[Columns][V];
    index_t a_stride = op.a_row_stride, b_stride = op.b_stride, steps = op.depth / V;
    const T *a_end = a + steps * V, *b_end = b + steps * V;
    int rest = static_cast<int>(op.depth % V);
    for (;;) {
        for (; steps > 0; --steps, a += V, b += V) {
            vec<T> a_vec[Rows];
            FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) a_vec[m] = load(a + m * a_stride);
            FASTCONV_UNROLL for (int n = 0; n < Columns; ++n) {
                const vec<T> b_vec = load(b + n * b_stride);
                FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) acc[m * Columns + n] += a_vec[m] * b_vec;
            }
        }
        if (rest == 0) break;
        // The rest by the same code: elsewhere the compiler may not fuse its multiplications and additions.
        for (int m = 0; m < Rows; ++m) store(a_copy[m], load_first(a_end + m * a_stride, rest));
        for (int n = 0; n < Columns; ++n) store(b_copy[n], load_first(b_end + n * b_stride, rest));
        a = a_copy[0], b = b_copy[0];
        a_stride = b_stride = V;
        steps = 1, rest = 0;
    }
    sum_lanes<T, Rows * Columns>(acc);
    alignas(vector_bytes) T sums[vectors * V];
    FASTCONV_UNROLL for (int i = 0; i < vectors; ++i) store(sums + i * V, acc[i]);
    for (int m = 0; m < Rows; ++m)
        for (int n = 0; n < Columns; ++n)
            c[m * op.c_row_stride + n] = finished(sums[m * Columns + n], bias ? bias + n : nullptr, op.activation);
}

template <class T>
using Tile = void (*)(const InnerProducts<T>&, const T*, const T*, const T*, T*) noexcept;

// of[columns - 1][rows - 1]
template <class T>
struct Tiles {
    Tile<T> of[widest][tile_rows] = {};

    template <int Columns, int Rows>
    constexpr void fill() {
        of[Columns - 1][Rows - 1] = tile<T, Rows, Columns>;
        if constexpr (Rows > 1)
            fill<Columns, Rows - 1>();
        else if constexpr (Columns > 1)
            fill<Columns - 1, tile_rows>();
    }
    constexpr Tiles() { fill<widest, tile_rows>(); }
};

template <class T>
constexpr Tiles<T> tiles;

// Row tiles outside: A is read from memory once.
template <class T>
void inner_products(const InnerProducts<T>& op) noexcept {
    for (index_t row = 0; row < op.rows; row += tile_rows) {
        const index_t rows = op.rows - row < tile_rows ? op.rows - row : tile_rows;
        for (index_t left = op.columns, column = 0; left > 0;) {
            const index_t tiles_left = (left + widest - 1) / widest;
            const index_t columns = (left + tiles_left - 1) / tiles_left;
            tiles<T>.of[columns - 1][rows - 1](op, op.a + row * op.a_row_stride, op.b + column * op.b_stride,
                                               op.bias ? op.bias + column : nullptr,
                                               op.c + row * op.c_row_stride + column);
            left -= columns;
            column += columns;
        }
    }
}

// One row, all columns. V rows of b as they lie in memory are Columns vectors; element i of them is of row i /
// Columns, and each has a sum of its own: that of lane l = i / Columns for column i % Columns.
template <class T, int Columns>
void row_in_place(const InnerProducts<T>& op, const T* a, T* c) noexcept {
    constexpr int V = lanes<T>;
    vec<T> acc[Columns] = {};
    ivec<T> row[Columns];
    FASTCONV_UNROLL for (int i = 0; i < Columns; ++i) FASTCONV_UNROLL for (int l = 0; l < V; ++l) row[i][l] =
        (i * V + l) / Columns;
    const T* b = op.b;
    alignas(vector_bytes) T a_copy[V], b_copy[Columns * V];
    index_t steps = op.depth / V;
    const int rest = static_cast<int>(op.depth % V);
    const T *a_end = a + steps * V, *b_end = b + steps * V * Columns;
    for (bool last = rest == 0;; last = true) {
        for (; steps > 0; --steps, a += V, b += V * Columns) {
            const vec<T> factors = load(a);
            FASTCONV_UNROLL for (int i = 0; i < Columns; ++i) acc[i] +=
                pick(factors, factors, row[i]) * load(b + i * V);
        }
        if (last) break;
        // The rest from a copy with zeros behind it, by the same code.
        store(a_copy, load_first(a_end, rest));
        for (int i = 0; i < Columns * V; ++i) b_copy[i] = i < rest * Columns ? b_end[i] : T(0);
        a = a_copy, b = b_copy, steps = 1;
    }
    alignas(vector_bytes) T sums[Columns * V];
    FASTCONV_UNROLL for (int i = 0; i < Columns; ++i) store(sums + i * V, acc[i]);
    for (int half = V / 2 * Columns; half >= Columns; half /= 2)
        for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
    for (int n = 0; n < Columns; ++n) c[n] = finished(sums[n], op.bias ? op.bias + n : nullptr, op.activation);
}

// of[columns - 1], as many as there may be lanes and a half
template <class T>
struct RowsInPlace {
    static constexpr int most = 3 * lanes<T> / 2;
    void (*of[most])(const InnerProducts<T>&, const T*, T*) noexcept = {};

    template <int Columns>
    constexpr void fill() {
        of[Columns - 1] = row_in_place<T, Columns>;
        if constexpr (Columns > 1) fill<Columns - 1>();
    }
    constexpr RowsInPlace() { fill<most>(); }
};

template <class T>
constexpr RowsInPlace<T> rows_in_place;

template <class T>
void inner_products_in_place(const InnerProducts<T>& op) noexcept {
    for (index_t m = 0; m < op.rows; ++m)
        rows_in_place<T>.of[op.columns - 1](op, op.a + m * op.a_row_stride, op.c + m * op.c_row_stride);
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    if constexpr (vector_bytes == 64) {
        table.inner_product_rows = tile_rows;
        table.inner_products = inner_products<T>;
        table.inner_products_in_place = inner_products_in_place<T>;
    }
}

}  // namespace

void register_inner_products(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
