// Few rows of A times a transposed matrix (formula, layouts and order of sums: TransposedProduct in table.hpp).
//
// Each output is a dot product of two rows in memory, yet its additions are to go by k, as where B lies transposed
// in memory: V rows of b are turned in registers, and lane n has the sum of its row. By AVX-512, in pieces of 4 steps
// of k, 16 loads and insertions and 8 shuffles serve 4 x Rows FMAs. A turned copy of B costs the same and has to be
// written and read as well, but once for all rows: that pays for more of them.
#include "kernels/registration.hpp"
#include "simd/turn.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::TransposedProduct;

// sums[m] += sum over i with skip <= i < Count of a[m * a_row_stride + i] * column[i]
template <class T, int Rows, int Count>
FASTCONV_INLINE void add_products(vec<T> (&sums)[Rows], const T* a, index_t a_row_stride,
                                  const vec<T> (&column)[Count], index_t skip = 0) {
    FASTCONV_UNROLL for (int i = 0; i < Count; ++i) {
        if (i < skip) continue;
        FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) sums[m] += a[m * a_row_stride + i] * column[i];
    }
}

// Asks for a part of the V rows after those at b: all of it, once k has been through the multiples of a piece.
template <class T>
FASTCONV_INLINE void prefetch_next_rows(const TransposedProduct<T>& op, const T* b, index_t k) {
    constexpr int V = lanes<T>, line = 64 / static_cast<int>(sizeof(T)), pieces = line / piece_lanes<T>;
    const T* next = b + (V + k % line / piece_lanes<T> * (V / pieces)) * op.depth + k / line * line;
    FASTCONV_UNROLL for (int i = 0; i < V / pieces; ++i) prefetch_far(next + i * op.depth);
}

// While a square of the V rows at b is read, asks for as many lines of what is read 2 KB further on, or of the next V
// rows, which lie half a page apart: memory is faster to bring long parts of rows one after the other than a line of
// each in turn, as the processor asks for them by itself. ms, 1 and 2 threads, without -> with this: 25088x4096
// 20.6 -> 18.0, 11.7 -> 10.2; 10000x8192 17.8 -> 15.7, 9.0 -> 7.6; of 16 MB, 1024x4096, 0.56 -> 0.52, 0.30 -> 0.30.
template <class T>
FASTCONV_INLINE void prefetch_beside_square(const TransposedProduct<T>& op, const T* b, index_t k) {
    constexpr index_t V = lanes<T>, line = 64 / sizeof(T), part_lines = 32, part = part_lines * line;
    const index_t number = k % part * V / line, next = k - k % part + part;
    const T* from = (next < op.depth ? b + next : b + V * op.depth) + number / part_lines * op.depth;
    from += number % part_lines * line;
    FASTCONV_UNROLL for (int i = 0; i < V * V / line; ++i) __builtin_prefetch(from + i * line, 0, 1);
}

// Elements from p to a cache line, or none if no piece ends there. Squares that begin with a line read each line
// once: where rows lie half pages apart, none is still there for a second time. ms, one row, 1 and 2 threads, b 16
// bytes beside a line, as NumPy's arrays may lie: 4096x4096 5.4 -> 3.0, 2.8 -> 2.1; 9216x4096 11.9 -> 6.3, 6.0
// -> 4.9.
template <class T>
FASTCONV_INLINE index_t to_line(const T* p) {
    constexpr index_t line = 64 / static_cast<index_t>(sizeof(T));
    const auto beyond = static_cast<index_t>(reinterpret_cast<std::uintptr_t>(p) / sizeof(T)) % line;
    return beyond % piece_lanes<T> == 0 ? (line - beyond) % line : 0;
}

// At most V columns of C; b, bias and c point at the first one.
template <class T, int Rows, bool whole>
void tile(const TransposedProduct<T>& op, const T* b, const T* bias, T* c, int columns) noexcept {
    constexpr int V = lanes<T>, n = piece_lanes<T>;
    const RowsToTurn<T, whole> rows_of_b{b, op.depth, columns};
    const index_t a_row_stride = op.a_row_stride;
    vec<T> total[Rows] = {};
    for (index_t first = 0; first < op.depth; first += op.pass) {
        const index_t end = first + op.pass < op.depth ? first + op.pass : op.depth;
        vec<T> sums[Rows] = {};
        index_t k = first;
        vec<T> column[n];
        const auto add_pieces = [&](index_t last) __attribute__((always_inline)) {
            for (; k + n <= last; k += n) {
                if constexpr (whole)
                    if (op.from_memory) prefetch_next_rows(op, b, k);
                rows_of_b.load_turned(k, column);
                add_products<T, Rows, n>(sums, op.a + k, a_row_stride, column);
            }
        };
        if constexpr (whole) {
            if (by_squares<T>(op.depth)) {
                const index_t head = to_line(b + k);
                if (k + head < end) add_pieces(k + head);
                for (; k + V <= end; k += V) {
                    if (op.from_memory) prefetch_beside_square(op, b, k);
                    vec<T> square[V];
                    rows_of_b.load_turned_square(k, square);
                    add_products<T, Rows, V>(sums, op.a + k, a_row_stride, square);
                }
            }
        }
        add_pieces(end);
        if (k < end) {
            rows_of_b.load_turned(end - n, column);
            add_products<T, Rows, n>(sums, op.a + end - n, a_row_stride, column, k - (end - n));
        }
        FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) total[m] = first == 0 ? sums[m] : sums[m] + total[m];
    }
    const vec<T> shift = !bias ? vec<T>{} : whole ? load(bias) : load_first(bias, columns);
    FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) {
        if (bias) total[m] += shift;
        if (op.activation == Activation::relu) total[m] = larger(vec<T>{}, total[m]);
        if constexpr (whole)
            store(c + m * op.c_row_stride, total[m]);
        else
            store_first(c + m * op.c_row_stride, total[m], columns);
    }
}

template <class T, int Rows>
void product(const TransposedProduct<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const T *b = op.b, *bias = op.bias;
    T* c = op.c;
    index_t left = op.columns;
    for (; left >= V; left -= V, b += V * op.depth, c += V) {
        tile<T, Rows, true>(op, b, bias, c, V);
        if (bias) bias += V;
    }
    if (left > 0) tile<T, Rows, false>(op, b, bias, c, static_cast<int>(left));
}

template <class T>
void transposed_product(const TransposedProduct<T>& op) noexcept {
    static_assert(kernels::transposed_product_rows == 4);
    constexpr void (*of[])(const TransposedProduct<T>&) noexcept = {product<T, 1>, product<T, 2>, product<T, 3>,
                                                                    product<T, 4>};
    of[op.rows - 1](op);
}

}  // namespace

void register_transposed_product(Kernels& table) noexcept {
    table.f32.transposed_product = transposed_product<float>;
    table.f64.transposed_product = transposed_product<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
