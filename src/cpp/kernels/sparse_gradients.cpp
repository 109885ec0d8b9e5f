// Gradients of a 3x3 convolution straight from the gradient behind 2x2 max pooling (formulas and layouts: table.hpp).
// Of four positions of a window only the maximum carries gradient, and none where ReLU cut it off or dropout dropped
// it. A bit for each window and output channel says which are left; the sums walk the bits without a branch.
//
// Kernel gradient: for one output channel the 9 taps of a vector of input channels are 9 accumulators; a window that
// is left broadcasts its gradient and adds it times the 9 vectors of the patch that its code points at: 9 FMAs, 9
// loads. With 32 registers two vectors share the walk: 18 accumulators. Where the patches begin is worked out before,
// for a vector of output channels at once: what the walk would look up leaves it too few scalar registers. Loads, one
// a cycle, are the limit: an image is walked once for every output channel and has to stay in the first-level cache.
//
// Input gradient: the patch of 4x4 pixels that a window saw, times a vector of channels, is 16 accumulators. The
// channels left are walked by code, since the code tells which 9 of the 16 an entry adds to: 9 FMAs, 9 loads, of
// weights that lie together and stay in the first-level cache. The next window's patch shares two columns, which stay
// in registers; the other two are added to memory. With 16 registers the upper and the lower codes take turns
// with 12.
//
// Few input channels, one after the other: the four pixels that a tap saw from the four positions of a window are a
// quad, 16 bytes of float. It is broadcast, and each output channel picks the pixel its code names: a load, a pick
// within 128 bits and an FMA for a tap and a vector of output channels. With 32 registers two vectors share the load:
// 18 accumulators of 3x3 taps, 20 of two rows of 5x5.
#include "kernels/registration.hpp"
#include "simd/bytes.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::AliveWindows;
using kernels::channels_per_word;
using kernels::SparseInputGradient;
using kernels::SparseKernelGradient;
using kernels::SparsePixelGradient;
using kernels::SpreadWindows;
using kernels::windows_per_word;

template <class T>
using Integer = typename integer_of<T>::type;

// Lanes that carry gradient.
template <class T>
FASTCONV_INLINE mask<T> alive(vec<T> grad, ivec<T> code) {
    const ivec<T> dead = code & broadcast(static_cast<Integer<T>>(kernels::dead_code));
    return static_cast<mask<T>>(different(grad, vec<T>{}) & equal(dead, ivec<T>{}));
}

// `Vectors` vectors of columns from k on.
template <class T, int Vectors>
FASTCONV_INLINE void mark_alive(const AliveWindows<T>& op, index_t k) {
    constexpr int V = lanes<T>;
    vec<T> sum[Vectors];
    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) sum[j] = load(op.sums + k + j * V);
    const T* grad = op.grad + k;
    const std::uint8_t* codes = op.codes + k;
    const std::int32_t* place = op.places;
    std::uint32_t* patches = op.patches + k;
    T* kept = op.kept + k;
    std::uint32_t* words = op.words + k;
    const index_t columns = op.columns, stride = op.stride;
    const ivec<T> right = broadcast(Integer<T>{op.right}), below = broadcast(Integer<T>{op.below});
    for (index_t left = op.windows; left > 0; left -= windows_per_word, words += columns) {
        ivec<T> bits[Vectors] = {}, bit = broadcast(Integer<T>{1});
        const index_t count = left < windows_per_word ? left : windows_per_word;
        for (index_t i = 0; i < count; ++i, bit += bit) {
            const ivec<T> corner = broadcast(Integer<T>{*place++});
            FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) {
                vec<T> values = load(grad + j * V);
                const ivec<T> code = load_bytes<T>(codes + j * V);
                const mask<T> living = alive<T>(values, code);
                values = zero_unless(living, values);
                store(kept + j * V, values);
                sum[j] += values;
                bits[j] |= (ivec<T>)zero_unless(living, (vec<T>)bit);
                // -1 selects a step, 0 none.
                store_words<T>(patches + j * V, corner + (-(code & 1) & right) + (-(code >> 1 & 1) & below));
            }
            grad += columns;
            codes += columns;
            patches += stride;
            kept += stride;
        }
        FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) store_words<T>(words + j * V, bits[j]);
    }
    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) store(op.sums + k + j * V, sum[j]);
}

template <class T>
void alive_windows(const AliveWindows<T>& op) noexcept {
    constexpr int V = lanes<T>;
    index_t k = 0;
    for (; k + 4 * V <= op.columns; k += 4 * V) mark_alive<T, 4>(op, k);
    for (; k < op.columns; k += V) mark_alive<T, 1>(op, k);
}

// `Vectors` vectors of input channels from c on.
template <class T, int Vectors>
void add_kernel_gradient(const SparseKernelGradient<T>& op, index_t c) noexcept {
    constexpr int V = lanes<T>;
    const index_t columns = op.columns, row = op.row_stride, pixel = op.channels, stride = op.stride;
    const index_t windows = op.windows, next_vector = columns * 9 * V;
    const bool accumulate = op.accumulate;
    const T* const x = op.x + c;
    T* dw = op.dw + c * 9 * columns;
    for (index_t k = 0; k < columns; ++k, dw += 9 * V) {
        vec<T> acc[9][Vectors] = {};
        const std::uint32_t *word = op.words + k, *patches = op.patches + k;
        const T* grad = op.grad + k;
        for (index_t left = windows; left > 0; left -= windows_per_word) {
            for (std::uint32_t bits = *word; bits != 0; bits &= bits - 1) {
                const index_t n = __builtin_ctz(bits) * stride;
                const T g = grad[n];
                const T* patch = x + patches[n];
                FASTCONV_UNROLL for (int r = 0; r < 3; ++r, patch += row) FASTCONV_UNROLL for (int s = 0; s < 3; ++s)
                    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) acc[3 * r + s][j] +=
                    g * load(patch + s * pixel + j * V);
            }
            word += columns;
            grad += windows_per_word * stride;
            patches += windows_per_word * stride;
        }
        if (accumulate) {
            FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) FASTCONV_UNROLL for (int tap = 0; tap < 9; ++tap)
                acc[tap][j] += load(dw + j * next_vector + tap * V);
        }
        FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) FASTCONV_UNROLL for (int tap = 0; tap < 9; ++tap)
            store(dw + j * next_vector + tap * V, acc[tap][j]);
    }
}

template <class T>
void sparse_kernel_gradient(const SparseKernelGradient<T>& op) noexcept {
    constexpr int vectors = vector_registers == 32 ? 2 : 1, V = lanes<T>;
    index_t c = 0;
    for (; c + vectors * V <= op.channels; c += vectors * V) add_kernel_gradient<T, vectors>(op, c);
    for (; c < op.channels; c += V) add_kernel_gradient<T, 1>(op, c);
}

// The channels of one window that carry gradient, by code.
template <class T>
FASTCONV_INLINE void mark_channels(const T* grad, const std::uint8_t* codes, index_t columns, std::uint64_t* words) {
    constexpr int V = lanes<T>;
    const index_t per_code = (columns + channels_per_word - 1) / channels_per_word;
    for (index_t first = 0; first < columns; first += channels_per_word, ++words) {
        const index_t last = first + channels_per_word < columns ? first + channels_per_word : columns;
        std::uint64_t bits[4] = {};
        for (index_t k = first; k < last; k += V) {
            const ivec<T> code = load_bytes<T>(codes + k);
            const mask<T> living = alive<T>(load(grad + k), code);
            const ivec<T> place = code & Integer<T>{3};
            FASTCONV_UNROLL for (int q = 0; q < 4; ++q) {
                const auto here = static_cast<mask<T>>(living & equal(place, broadcast(static_cast<Integer<T>>(q))));
                bits[q] |= std::uint64_t{mask_bits(here)} << (k - first);
            }
        }
        FASTCONV_UNROLL for (int q = 0; q < 4; ++q) words[q * per_code] = bits[q];
    }
}

// Rows [First, First + Rows - 2) of the windows' codes, of one vector of channels: First 0 and Rows 4 are both.
template <class T, int First, int Rows>
FASTCONV_INLINE void add_input_gradient(const SparseInputGradient<T>& op, const T* w, const T* grad,
                                        const std::uint64_t* words, T* dx) {
    constexpr int V = lanes<T>;
    const index_t words_per_code = (op.columns + channels_per_word - 1) / channels_per_word;
    vec<T> patch[Rows][4] = {};
    // Neighbouring patches share two columns, which stay in registers.
    const auto flush = [&] {
        T* target = dx;
        FASTCONV_UNROLL for (int r = 0; r < Rows; ++r, target += op.row_stride) {
            FASTCONV_UNROLL for (int s = 0; s < 2; ++s) {
                T* pixel = target + s * op.channels;
                store(pixel, vec<T>(load(pixel) + patch[r][s]));
                patch[r][s] = patch[r][s + 2];
                patch[r][s + 2] = vec<T>{};
            }
        }
        dx += 2 * op.channels;
    };
    for (index_t n = 0; n < op.windows; ++n, grad += op.columns, words += 4 * words_per_code) {
        FASTCONV_UNROLL for (int p = 0; p < Rows - 2; ++p) FASTCONV_UNROLL for (int q = 0; q < 2; ++q) {
            const std::uint64_t* of_code = words + (2 * (First + p) + q) * words_per_code;
            for (index_t i = 0; i < words_per_code; ++i) {
                for (std::uint64_t bits = of_code[i]; bits != 0; bits &= bits - 1) {
                    const index_t k = i * channels_per_word + __builtin_ctzll(bits);
                    const T g = grad[k];
                    const T* taps = w + k * 9 * V;
                    FASTCONV_UNROLL for (int r = 0; r < 3; ++r) FASTCONV_UNROLL for (int s = 0; s < 3; ++s)
                        patch[p + r][q + s] += g * load(taps + (3 * r + s) * V);
                }
            }
        }
        flush();
    }
    flush();
}

template <class T>
void sparse_input_gradient(const SparseInputGradient<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const index_t words = 4 * ((op.columns + channels_per_word - 1) / channels_per_word);
    for (index_t n = 0; n < op.rows * op.windows; ++n)
        mark_channels(op.grad + n * op.columns, op.codes + n * op.columns, op.columns, op.words + n * words);
    for (index_t c = 0; c < op.channels; c += V) {
        const T* w = op.w + c * 9 * op.columns;
        for (index_t row = 0; row < op.rows; ++row) {
            const T* grad = op.grad + row * op.windows * op.columns;
            const std::uint64_t* of_row = op.words + row * op.windows * words;
            T* dx = op.dx + 2 * row * op.row_stride + c;
            if constexpr (vector_registers == 32) {
                add_input_gradient<T, 0, 4>(op, w, grad, of_row, dx);
            } else {
                add_input_gradient<T, 0, 3>(op, w, grad, of_row, dx);
                add_input_gradient<T, 1, 3>(op, w, grad, of_row, dx + op.row_stride);
            }
        }
    }
}

// The quads of one row of a channel: quads[4w ..] = {above[w], above[w + 1], below[w], below[w + 1]}, w in pixels.
// `readable` elements follow `below`.
template <class T>
FASTCONV_INLINE void gather_quads(const T* above, const T* below, index_t pixel, index_t readable, index_t count,
                                  T* quads) {
    constexpr int V = lanes<T>;
    index_t w = 0;
    if (V > 4 && pixel <= 3) {
        // V / 4 quads read V / 4 + 1 pixels: at most V elements of a row.
        ivec<T> number;
        const auto step = static_cast<Integer<T>>(pixel);
        FASTCONV_UNROLL for (int i = 0; i < V; ++i) number[i] = i / 4 + i % 2;
        number *= step;
        FASTCONV_UNROLL for (int i = 0; i < V; ++i) number[i] += i % 4 < 2 ? 0 : V;
        for (; w + V / 4 <= count && w * pixel + V <= readable; w += V / 4)
            store(quads + 4 * w, pick(load(above + w * pixel), load(below + w * pixel), number));
    }
    for (; w < count; ++w) {
        quads[4 * w] = above[w * pixel];
        quads[4 * w + 1] = above[(w + 1) * pixel];
        quads[4 * w + 2] = below[w * pixel];
        quads[4 * w + 3] = below[(w + 1) * pixel];
    }
}

// Taps of `Rows` rows from `first_row` on, `Taps` in a row, of channel c and `Vectors` vectors of columns from k on.
template <class T, int Rows, int Taps, int Vectors>
FASTCONV_INLINE void add_pixel_gradients(const SparsePixelGradient<T>& op, index_t c, int first_row, index_t k) {
    constexpr int V = lanes<T>;
    const index_t row_quads = 4 * (2 * op.windows + Taps - 2), tap_stride = op.channels * op.columns;
    T* const dw = op.dw + first_row * Taps * tap_stride + c * op.columns + k;
    vec<T> acc[Rows * Taps][Vectors], sum[Vectors];
    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) {
        sum[j] = load(op.sums + k + j * V);
        FASTCONV_UNROLL for (int tap = 0; tap < Rows * Taps; ++tap) acc[tap][j] = load(dw + tap * tap_stride + j * V);
    }
    const T* grads = op.grad + k;
    const std::uint8_t* codes = op.codes + k;
    for (index_t row = 0; row < op.rows; ++row) {
        const T* quads = op.quads + (2 * row + first_row) * row_quads;
        for (index_t n = 0; n < op.windows; ++n, quads += 8, grads += op.columns, codes += op.columns) {
            ivec<T> code[Vectors];
            vec<T> grad[Vectors];
            FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) {
                const vec<T> values = load(grads + j * V);
                code[j] = load_bytes<T>(codes + j * V);
                grad[j] = zero_unless(alive<T>(values, code[j]), values);
                sum[j] += grad[j];
            }
            FASTCONV_UNROLL for (int tap = 0; tap < Rows * Taps; ++tap) {
                const T* quad = quads + tap / Taps * row_quads + tap % Taps * 4;
                FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) acc[tap][j] +=
                    grad[j] * pick_of_four(quad, code[j]);
            }
        }
    }
    const bool first = c == 0 && first_row == 0;  // of the passes: the one that sums the gradients
    FASTCONV_UNROLL for (int j = 0; j < Vectors; ++j) {
        if (first) store(op.sums + k + j * V, sum[j]);
        FASTCONV_UNROLL for (int tap = 0; tap < Rows * Taps; ++tap) store(dw + tap * tap_stride + j * V, acc[tap][j]);
    }
}

template <class T, int Rows, int Taps>
void add_pixel_gradients(const SparsePixelGradient<T>& op, index_t c, int first_row) noexcept {
    constexpr int vectors = vector_registers == 32 ? 2 : 1, V = lanes<T>;
    index_t k = 0;
    for (; k + vectors * V <= op.columns; k += vectors * V)
        add_pixel_gradients<T, Rows, Taps, vectors>(op, c, first_row, k);
    for (; k < op.columns; k += V) add_pixel_gradients<T, Rows, Taps, 1>(op, c, first_row, k);
}

template <class T>
void sparse_pixel_gradient(const SparsePixelGradient<T>& op) noexcept {
    const index_t across = 2 * op.windows + op.taps - 2, last = 2 * op.rows + op.taps - 2;
    for (index_t c = 0; c < op.channels; ++c) {
        for (index_t h = 0; h < last; ++h) {
            const T* above = op.x + h * op.row_stride + c;
            gather_quads(above, above + op.row_stride, op.channels, (last - h) * op.row_stride - c, across,
                         op.quads + h * across * 4);
        }
        if (op.taps == 3) {
            add_pixel_gradients<T, 3, 3>(op, c, 0);
        } else {
            add_pixel_gradients<T, 2, 5>(op, c, 0);
            add_pixel_gradients<T, 2, 5>(op, c, 2);
            add_pixel_gradients<T, 1, 5>(op, c, 4);
        }
    }
}

template <class T>
void spread_windows(const SpreadWindows<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const index_t columns = op.columns;
    const T* grads = op.grad;
    const std::uint8_t* codes = op.codes;
    T* out = op.out;
    for (index_t n = 0; n < op.windows; ++n, grads += columns, codes += columns, out += 2 * columns) {
        T* const to[4] = {out, out + columns, out + op.row_stride, out + op.row_stride + columns};
        index_t k = 0;
        for (; k + V <= columns; k += V) {
            const vec<T> values = load(grads + k);
            const ivec<T> code = load_bytes<T>(codes + k) & Integer<T>{7};
            FASTCONV_UNROLL for (int q = 0; q < 4; ++q)
                store(to[q] + k, zero_unless(equal(code, broadcast(static_cast<Integer<T>>(q))), values));
        }
        for (; k < columns; ++k)
            for (int q = 0; q < 4; ++q) to[q][k] = (codes[k] & 7) == q ? grads[k] : T(0);
    }
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.spread_windows = spread_windows<T>;
    table.alive_windows = alive_windows<T>;
    table.sparse_kernel_gradient = sparse_kernel_gradient<T>;
    table.sparse_input_gradient = sparse_input_gradient<T>;
    table.sparse_pixel_gradient = sparse_pixel_gradient<T>;
}

}  // namespace

void register_sparse_gradients(Kernels& table) noexcept {
    fill(table.f32);
    fill(table.f64);
}

}  // namespace fastconv::FASTCONV_LEVEL
