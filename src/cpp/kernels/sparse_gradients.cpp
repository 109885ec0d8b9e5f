// Gradients of a 3x3 convolution straight from the gradient behind 2x2 max pooling (formulas and layouts: table.hpp).
// Of four positions of a window only the maximum carries gradient, and none where ReLU cut it off or dropout dropped
// it; what is left is walked as lists, without branches in the sums.
//
// Kernel gradient: for one output channel the 9 taps of one vector of input channels are 9 accumulators; an entry of
// the list broadcasts its gradient and adds it times the 9 vectors of the patch it points at: 9 FMAs, 10 loads.
//
// Input gradient: the patch of 4x4 pixels that a window saw, times one vector of channels, is 16 accumulators. The
// channels of a window are sorted by code into four lists, since the code tells which 9 of the 16 an entry adds to:
// 9 FMAs, 10 loads. The next window's patch shares two columns, which stay in registers; the other two are added to
// memory. With 16 registers the 9 accumulators of a code take turns instead.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::GradientsByChannel;
using kernels::SparseInputGradient;
using kernels::SparseKernelGradient;
using kernels::SparsePixelGradient;

template <class T>
using Integer = typename integer_of<T>::type;

// Lanes that carry gradient.
template <class T>
FASTCONV_INLINE mask<T> alive(vec<T> grad, ivec<T> code) {
    const ivec<T> dead = code & broadcast(static_cast<Integer<T>>(kernels::dead_code));
    return static_cast<mask<T>>(different(grad, vec<T>{}) & equal(dead, ivec<T>{}));
}

template <class T>
void gradients_by_channel(const GradientsByChannel<T>& op) noexcept {
    constexpr int V = lanes<T>;
    for (index_t k = 0; k < op.columns; k += V) {
        vec<T> sum = load(op.sums + k);
        for (index_t n = 0; n < op.windows; ++n) {
            const T* grad = op.grad + n * op.columns + k;
            const std::uint8_t* codes = op.codes + n * op.columns + k;
            const vec<T> values = load(grad);
            const mask<T> living = alive<T>(values, load_bytes<T>(codes));
            sum += zero_unless(living, values);
            for (unsigned bits = mask_bits(living); bits != 0; bits &= bits - 1) {
                const int lane = __builtin_ctz(bits);
                const index_t slot = (k + lane) * op.capacity + op.counts[k + lane]++;
                op.grads[slot] = grad[lane];
                op.offsets[slot] = op.offset[codes[lane] & 3] + static_cast<std::int32_t>(n) * op.window_step;
            }
        }
        store(op.sums + k, sum);
    }
}

template <class T>
void sparse_kernel_gradient(const SparseKernelGradient<T>& op) noexcept {
    constexpr int V = lanes<T>;
    for (index_t c = 0; c < op.channels; c += V) {
        const T* x0 = op.x + c;
        const T* x1 = x0 + op.tap_row_stride;
        const T* x2 = x1 + op.tap_row_stride;
        for (index_t k = 0; k < op.columns; ++k) {
            T* dw = op.dw + k * 9 * op.channels + c;
            vec<T> acc[9];
            FASTCONV_UNROLL for (int tap = 0; tap < 9; ++tap) acc[tap] = load(dw + tap * op.channels);
            const T* grads = op.grads + k * op.capacity;
            const std::int32_t* offsets = op.offsets + k * op.capacity;
            for (index_t i = 0; i < op.counts[k]; ++i) {
                const T g = grads[i];
                const index_t offset = offsets[i];
                FASTCONV_UNROLL for (int s = 0; s < 3; ++s) {
                    acc[s] += g * load(x0 + offset + s * op.tap_stride);
                    acc[3 + s] += g * load(x1 + offset + s * op.tap_stride);
                    acc[6 + s] += g * load(x2 + offset + s * op.tap_stride);
                }
            }
            FASTCONV_UNROLL for (int tap = 0; tap < 9; ++tap) store(dw + tap * op.channels, acc[tap]);
        }
    }
}

template <class T>
struct CodeLists {
    T* grads[4];
    std::int32_t* offsets[4];  // of the channel's weights
    int counts[4];
};

// Sorts the gradients of one window by code.
template <class T>
FASTCONV_INLINE void sort_by_code(const SparseInputGradient<T>& op, const T* grad, const std::uint8_t* codes,
                                  CodeLists<T>& lists) {
    constexpr int V = lanes<T>;
    for (int q = 0; q < 4; ++q) lists.counts[q] = 0;
    const auto weights = static_cast<std::int32_t>(9 * op.channels);
    for (index_t k = 0; k < op.columns; k += V) {
        const mask<T> living = alive<T>(load(grad + k), load_bytes<T>(codes + k));
        for (unsigned bits = mask_bits(living); bits != 0; bits &= bits - 1) {
            const index_t channel = k + __builtin_ctz(bits);
            const int code = codes[channel] & 3, slot = lists.counts[code]++;
            lists.grads[code][slot] = grad[channel];
            lists.offsets[code][slot] = static_cast<std::int32_t>(channel) * weights;
        }
    }
}

// acc[p * Stride + q] += the 3x3 patch of every entry of one list.
template <class T, int Stride>
FASTCONV_INLINE void add_list(const T* grads, const std::int32_t* offsets, int count, const T* w, index_t channels,
                              vec<T>* acc) {
    for (int i = 0; i < count; ++i) {
        const T g = grads[i];
        const T* taps = w + offsets[i];
        FASTCONV_UNROLL for (int r = 0; r < 3; ++r) FASTCONV_UNROLL for (int s = 0; s < 3; ++s) acc[r * Stride + s] +=
            g * load(taps + (3 * r + s) * channels);
    }
}

template <class T>
FASTCONV_INLINE void add_to(T* p, vec<T> v) {
    store(p, load(p) + v);
}

template <class T>
void sparse_input_gradient(const SparseInputGradient<T>& op) noexcept {
    constexpr int V = lanes<T>;
    const index_t room = op.columns + V;
    CodeLists<T> lists;
    for (int q = 0; q < 4; ++q) {
        lists.grads[q] = op.work_grads + q * room;
        lists.offsets[q] = op.work_offsets + q * room;
    }
    for (index_t n = 0; n < op.windows; ++n) {
        sort_by_code(op, op.grad + n * op.columns, op.codes + n * op.columns, lists);
        for (index_t c = 0; c < op.channels; c += V) {
            T* dx = op.dx + 2 * n * op.pixel_stride + c;
            if constexpr (vector_registers == 32) {
                vec<T> patch[16] = {};
                FASTCONV_UNROLL for (int q = 0; q < 4; ++q)
                    add_list<T, 4>(lists.grads[q], lists.offsets[q], lists.counts[q], op.w + c, op.channels,
                                   patch + (q / 2) * 4 + q % 2);
                FASTCONV_UNROLL for (int p = 0; p < 16; ++p)
                    add_to<T>(dx + (p / 4) * op.row_stride + (p % 4) * op.pixel_stride, patch[p]);
            } else {
                for (int q = 0; q < 4; ++q) {
                    vec<T> patch[9] = {};
                    add_list<T, 3>(lists.grads[q], lists.offsets[q], lists.counts[q], op.w + c, op.channels, patch);
                    T* corner = dx + (q / 2) * op.row_stride + (q % 2) * op.pixel_stride;
                    FASTCONV_UNROLL for (int p = 0; p < 9; ++p)
                        add_to<T>(corner + (p / 3) * op.row_stride + (p % 3) * op.pixel_stride, patch[p]);
                }
            }
        }
    }
}

// One input channel: the patch of a window is one register (AVX-512), from which each output channel picks the pixel
// that its code and the tap name: 9 picks and 9 FMAs for a vector of output channels. The 9 sums stay in registers
// for the row.
template <class T>
void sparse_pixel_gradient(const SparsePixelGradient<T>& op) noexcept {
    constexpr int V = lanes<T>;
    for (index_t k = 0; k < op.columns; k += V) {
        vec<T> acc[9], sum = load(op.sums + k);
        FASTCONV_UNROLL for (int tap = 0; tap < 9; ++tap) acc[tap] = load(op.dw + tap * op.columns + k);
        for (index_t n = 0; n < op.windows; ++n) {
            const Patch<T> patch(op.x + 2 * n, op.row_stride);
            const ivec<T> code = load_bytes<T>(op.codes + n * op.columns + k);
            const vec<T> values = load(op.grad + n * op.columns + k);
            const vec<T> grad = zero_unless(alive<T>(values, code), values);
            sum += grad;
            // Code 2p + q is pixel 4p + q of the patch.
            const ivec<T> corner = (code & 1) + ((code & 2) << 1);
            FASTCONV_UNROLL for (int tap = 0; tap < 9; ++tap) acc[tap] +=
                grad * patch.pick(corner + static_cast<Integer<T>>(tap / 3 * 4 + tap % 3));
        }
        FASTCONV_UNROLL for (int tap = 0; tap < 9; ++tap) store(op.dw + tap * op.columns + k, acc[tap]);
        store(op.sums + k, sum);
    }
}

template <class T>
void fill(kernels::KernelsOf<T>& table) noexcept {
    table.gradients_by_channel = gradients_by_channel<T>;
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
