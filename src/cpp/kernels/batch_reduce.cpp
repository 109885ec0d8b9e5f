// The register-tiled batch-reduce product (formula and layouts: BatchReduce in table.hpp).
//
// A tile of Rows x Vectors accumulators stays in registers over the whole sum. A step of the depth loads
// Vectors vectors of B once, and multiplies each by Rows scalars of A, which AVX-512 reads as broadcasting
// memory operands of the FMA itself:
//
//   32 registers, AVX-512:  7x4 + 4 of B = 32    9x3 + 3 = 30    14x2 + 2 = 30    14x1 + 1 = 15
//   32 registers, NEON:     6x4 + 4 + 1 of A = 29  8x3 + 3 + 1 = 28  12x2 + 2 + 1 = 27  12x1 + 1 + 1 = 14
//   16 registers, AVX2:     6x2 + 2 + 1 = 15     12x1 + 1 + 1 = 14  (x86-64-v2: one more for the product)
//
// An FMA takes 4 cycles and one (AVX-512 on Zen 4) or two start in each, so 8 accumulators are enough to keep
// the units busy; the rest is there to load less. Published: batch-reduce GEMM, arXiv:1906.06440.
#include "kernels/registration.hpp"
#include "kernels/row_pointers.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::BatchReduce;

constexpr bool broadcasts_from_memory = vector_bytes == 64;
constexpr int widest = vector_registers == 32 ? 4 : 2;

constexpr int most_rows(int vectors) {
    if (vector_registers == 16) return vectors == 1 ? 12 : 6;
    if (vectors <= 2) return broadcasts_from_memory ? 14 : 12;
    if (vectors == 3) return broadcasts_from_memory ? 9 : 8;
    return broadcasts_from_memory ? 7 : 6;
}

// The diagonal form loads a vector of A for each multiplication: few rows suffice, B's share is small then.
constexpr int diagonal_rows = 4;

// Adds `rows` rows of sums to C or writes them there, with bias and activation.
template <class T>
__attribute__((noinline)) void finish(const BatchReduce<T>& op, int rows, int stride, const T* sums, T* c,
                                      const T* bias, int columns) noexcept {
    const bool relu = op.activation == Activation::relu;
    for (int m = 0; m < rows; ++m, sums += stride, c += op.c_row_stride) {
        for (int n = 0; n < columns; ++n) {
            T value = sums[n];
            if (op.accumulate) value += c[n];
            if (bias) value += bias[n];
            c[n] = relu && value < 0 ? T(0) : value;
        }
    }
}

// Asks for the lines of memory that a tile writes at its end, and for those of A that the tile after the next reads:
// the processor's own prefetching follows neither in time.
template <class T, int Rows, int Vectors>
FASTCONV_INLINE void prefetch(const BatchReduce<T>& op, const T* a, const T* c) {
    constexpr index_t line = 64 / static_cast<index_t>(sizeof(T)), most_depth = 16 * line;
    if (!op.stream) {
        FASTCONV_UNROLL for (int m = 0; m < Rows; ++m)
            FASTCONV_UNROLL for (int n = 0; n < Vectors * lanes<T>; n += line)
                __builtin_prefetch(c + m * op.c_row_stride + n, 1);
    }
    const T* next = a + op.a_offsets[0] + 2 * Rows * op.a_row_stride;
    const index_t depth = op.depth < most_depth ? op.depth : most_depth;
    for (index_t k = 0; k < depth; k += line)
        FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) __builtin_prefetch(next + m * op.a_row_stride + k, 0, 2);
}

// The lines of B that the next product reads, in the order in which they lie in memory, which is faster to bring a
// long run than a part of each row; a line or two at each step of the depth, as many at once would stall what is
// computed.
template <class T>
struct LinesAhead {
    const T* next;
    index_t left, columns, gap;

    LinesAhead() = default;
    // For a tile that begins at column `first`, and has asked for its share of all when it ends.
    FASTCONV_INLINE LinesAhead(const BatchReduce<T>& op, index_t first)
        : columns(op.columns), gap(op.b_depth_stride - op.columns) {
        const index_t before = first * op.depth, row = before / columns;
        next = op.b_ahead + before + row * gap;
        left = (row + 1) * columns - before;
    }
    template <int count>
    FASTCONV_INLINE void ask() {
        constexpr int line = 64 / static_cast<int>(sizeof(T));
        FASTCONV_UNROLL for (int n = 0; n < count; n += line) prefetch_far(next + n);
        next += count;
        left -= count;
        if (left > 0) return;
        next += gap;
        left += columns;
    }
};

enum class Form { broadcast, broadcast_asking_ahead, diagonal, diagonal_with_tail };

constexpr bool broadcasts(Form form) { return form == Form::broadcast || form == Form::broadcast_asking_ahead; }

// a, b, start, c and bias point at the tile's first row and column; `columns` of it are wanted.
template <class T, int Rows, int Vectors, Form form>
void tile(const BatchReduce<T>& op, const T* a, const T* b, const T* start, T* c, const T* bias,
          int columns) noexcept {
    constexpr int V = lanes<T>;
    constexpr int full = form == Form::diagonal_with_tail ? Vectors - 1 : Vectors;
    if constexpr (broadcasts(form))
        if (op.from_memory) prefetch<T, Rows, Vectors>(op, a, c);
    vec<T> acc[Rows][Vectors] = {};
    if (start) {
        FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) {
            const T* row = start + m * op.c_row_stride;
            FASTCONV_UNROLL for (int j = 0; j < Vectors - 1; ++j) acc[m][j] = load(row + j * V);
            acc[m][Vectors - 1] = columns == Vectors * V
                                      ? load(row + (Vectors - 1) * V)
                                      : load_first(row + (Vectors - 1) * V, columns - (Vectors - 1) * V);
        }
    }

    constexpr bool asks_ahead = form == Form::broadcast_asking_ahead;
    LinesAhead<T> ahead = asks_ahead ? LinesAhead<T>(op, c - op.c) : LinesAhead<T>();
    for (index_t i = 0; i < op.count; ++i) {
        RowPointers<T, Rows> rows(a + op.a_offsets[i], op.a_row_stride);
        const T* b_row = b + op.b_offsets[i];
        for (index_t k = 0; k < op.depth; ++k) {
            vec<T> b_vec[Vectors];
            FASTCONV_UNROLL for (int j = 0; j < full; ++j) b_vec[j] = load(b_row + j * V);
            if constexpr (full < Vectors) b_vec[full] = load_first(b_row + full * V, columns - full * V);
            if constexpr (asks_ahead) ahead.template ask<Vectors * V>();
            if constexpr (Rows > 1) {
                FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) keep_in_register(b_vec[j]);
            } else if constexpr (form == Form::broadcast) {
                if (op.b_from_memory)
                    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j)
                        prefetch_far(b_row + op.depth * op.b_depth_stride + j * V);
            }
            FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) {
                const T* a_row = rows.row(m);
                if constexpr (broadcasts(form)) {
                    const T scalar = *a_row;
                    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) acc[m][j] += scalar * b_vec[j];
                } else {
                    FASTCONV_UNROLL for (int j = 0; j < full; ++j) acc[m][j] += load(a_row + j * V) * b_vec[j];
                    if constexpr (full < Vectors)
                        acc[m][full] += load_first(a_row + full * V, columns - full * V) * b_vec[full];
                }
            }
            rows.advance(op.a_depth_stride);
            b_row += op.b_depth_stride;
        }
    }

    if (columns == Vectors * V) {
        if (op.accumulate) {
            FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j)
                acc[m][j] += load(c + m * op.c_row_stride + j * V);
        }
        if (bias) {
            FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) {
                const vec<T> shift = load(bias + j * V);
                FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) acc[m][j] += shift;
            }
        }
        if (op.activation == Activation::relu) {
            FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j)
                acc[m][j] = larger(vec<T>{}, acc[m][j]);
        }
        if (op.stream) {
            FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j)
                stream(c + m * op.c_row_stride + j * V, acc[m][j]);
        } else {
            FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j)
                store(c + m * op.c_row_stride + j * V, acc[m][j]);
        }
        return;
    }

    // A last vector that is partly beyond the columns: the same operations on a copy.
    alignas(vector_bytes) T copy[Rows][Vectors * V];
    FASTCONV_UNROLL for (int m = 0; m < Rows; ++m) FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j)
        store(&copy[m][j * V], acc[m][j]);
    finish(op, Rows, Vectors * V, &copy[0][0], c, bias, columns);
}

template <class T>
using Tile = void (*)(const BatchReduce<T>&, const T*, const T*, const T*, T*, const T*, int) noexcept;

// of[vectors - 1][rows - 1]
template <class T, Form form>
struct Tiles {
    static constexpr int most_rows(int vectors) {
        return broadcasts(form) ? FASTCONV_LEVEL::most_rows(vectors) : diagonal_rows;
    }
    Tile<T> of[widest][most_rows(1)] = {};

    template <int Vectors, int Rows>
    constexpr void fill() {
        of[Vectors - 1][Rows - 1] = tile<T, Rows, Vectors, form>;
        if constexpr (Rows > 1)
            fill<Vectors, Rows - 1>();
        else if constexpr (Vectors > 1)
            fill<Vectors - 1, most_rows(Vectors - 1)>();
    }
    constexpr Tiles() { fill<widest, most_rows(widest)>(); }
};

template <class T, Form form>
constexpr Tiles<T, form> tiles;

// of[rows - 1], of two vectors
template <class T>
struct AskingTiles {
    Tile<T> of[most_rows(2)] = {};

    template <int Rows>
    constexpr void fill() {
        of[Rows - 1] = tile<T, Rows, 2, Form::broadcast_asking_ahead>;
        if constexpr (Rows > 1) fill<Rows - 1>();
    }
    constexpr AskingTiles() { fill<most_rows(2)>(); }
};

template <class T>
constexpr AskingTiles<T> asking_tiles;

// All row tiles of one block of columns, as equal in height as can be.
template <class T>
void run_block(const BatchReduce<T>& op, const Tile<T>* tiles_of_width, index_t tallest, const T* a, const T* b,
               const T* start, T* c, const T* bias, int columns) noexcept {
    const bool asks_ahead = op.b_ahead && columns == 2 * lanes<T>;
    for (index_t left = op.rows; left > 0;) {
        const index_t tiles_left = (left + tallest - 1) / tallest;
        const index_t rows = (left + tiles_left - 1) / tiles_left;
        const Tile<T> tile = asks_ahead && left == op.rows ? asking_tiles<T>.of[rows - 1] : tiles_of_width[rows - 1];
        tile(op, a, b, start, c, bias, columns);
        if (start) start += rows * op.c_row_stride;
        a += rows * op.a_row_stride;
        c += rows * op.c_row_stride;
        left -= rows;
    }
}

template <class T, bool diagonal>
void batch_reduce(const BatchReduce<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const index_t width = op.block_vectors * V;
    const T* b = op.b;
    for (index_t first = 0; first < op.columns; first += width, b += op.b_block_stride) {
        const int columns = static_cast<int>(op.columns - first < width ? op.columns - first : width);
        const int vectors = (columns + V - 1) / V;
        const bool whole = columns % V == 0;
        const Tile<T>* choice = !diagonal ? tiles<T, Form::broadcast>.of[vectors - 1]
                                : whole   ? tiles<T, Form::diagonal>.of[vectors - 1]
                                          : tiles<T, Form::diagonal_with_tail>.of[vectors - 1];
        run_block(op, choice, diagonal ? diagonal_rows : most_rows(vectors), op.a + (diagonal ? first : 0), b,
                  op.start ? op.start + first : nullptr, op.c + first, op.bias ? op.bias + first : nullptr, columns);
    }
    if (op.stream) stream_fence();
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.lanes = lanes<T>;
    table.block_vectors = widest;
    for (int vectors = 1; vectors <= widest; ++vectors) table.tile_rows[vectors - 1] = most_rows(vectors);
    table.batch_reduce = batch_reduce<T, false>;
    table.batch_reduce_diagonal = batch_reduce<T, true>;
}

}  // namespace

void register_batch_reduce(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
