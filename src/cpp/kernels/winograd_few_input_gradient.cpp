// The products of the input gradient of 3x3 kernels for few input channels C by Winograd (formula and layouts:
// WinogradFewInputGradient in winograd.hpp).
//
// Lanes are tiles. The sums of some entries stay in registers over all filters. Of stride 1: all 16 of one channel,
// half of the positions of two or three (16 or 24 registers), a quarter of four (16); with 16 registers half of the
// positions of one channel, else a quarter. Of stride 2: a row of positions of one or two channels (at most 20), else
// at most 24. A step loads the gradients of a tile, makes A g A^T of them with 6 additions for 8 positions, and takes
// an FMA for each entry with the weights as broadcasting memory operands.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

using kernels::WinogradFewInputGradient;

// Products along an axis at a position.
constexpr int products(int stride, int position) {
    if (stride == 1) return 1;
    return position == 0 || position == 3 ? 2 : position == 1 ? 1 : 0;
}

// Entries of a position, and before it.
constexpr int entries_of(int channels, int stride, int p, int q) {
    return products(stride, p) * products(stride, q) * channels;
}
constexpr int entries_before(int channels, int stride, int p, int q) {
    int count = 0;
    for (int i = 0; i < 4 * p + q; ++i) count += entries_of(channels, stride, i / 4, i % 4);
    return count;
}

// Position rows First to First + Rows, of these columns Left to before Right: entries side by side.
template <int Channels, int Stride, int First, int Rows, int Left, int Right>
struct Pass {
    static constexpr int before = entries_before(Channels, Stride, First, Left);
    static constexpr int count = entries_before(Channels, Stride, First + Rows - 1, Right) - before;

    template <class T, int P, int Q>
    FASTCONV_INLINE static void add_position(const T* u, vec<T> g, vec<T>* sums) {
        constexpr int at = entries_before(Channels, Stride, P, Q) - before,
                      entries = entries_of(Channels, Stride, P, Q);
        keep_in_register(g);
        FASTCONV_UNROLL for (int i = 0; i < entries; ++i) sums[at + i] += u[at + i] * g;
    }

    template <class T, int P>
    FASTCONV_INLINE static void add_row(const T* u, vec<T> g0, vec<T> g1, vec<T>* sums) {
        if constexpr (P >= First && P < First + Rows && products(Stride, P) > 0) {
            if constexpr (Left == 0) add_position<T, P, 0>(u, g0, sums);
            if constexpr (Left <= 1 && Right > 1) add_position<T, P, 1>(u, g0 + g1, sums);
            if constexpr (Left <= 2 && Right > 2 && Stride == 1) add_position<T, P, 2>(u, g0 - g1, sums);
            if constexpr (Right > 3) add_position<T, P, 3>(u, g1, sums);
        }
    }

    // For the vector of tiles at column n.
    template <class T>
    FASTCONV_INLINE static void run(const WinogradFewInputGradient<T>& op, index_t n) {
        vec<T> sums[count] = {};
        const T* g[2] = {op.grad + n, op.grad + 2 * op.position_stride + n};
        const T* u = op.u + before;
        for (index_t k = 0; k < op.depth; ++k) {
            vec<T> grad[2][2] = {};
            FASTCONV_UNROLL for (int j = 0; j < 2; ++j) {
                if (First < 3) grad[0][j] = load(g[0] + j * op.position_stride);
                if (First + Rows > 1) grad[1][j] = load(g[1] + j * op.position_stride);
            }
            add_row<T, 0>(u, grad[0][0], grad[0][1], sums);
            add_row<T, 1>(u, grad[0][0] + grad[1][0], grad[0][1] + grad[1][1], sums);
            add_row<T, 2>(u, grad[0][0] - grad[1][0], grad[0][1] - grad[1][1], sums);
            add_row<T, 3>(u, grad[1][0], grad[1][1], sums);
            FASTCONV_UNROLL for (int i = 0; i < 2; ++i) g[i] += op.grad_stride;
            u += entries_before(Channels, Stride, 4, 0);
        }
        T* z = op.z + before * op.z_stride + n;
        FASTCONV_UNROLL for (int i = 0; i < count; ++i) store(z + i * op.z_stride, sums[i]);
    }
};

template <class T, int C>
void multiply(const WinogradFewInputGradient<T>& op) noexcept {
    constexpr int Rows = vector_registers == 32 ? (C == 1 ? 4 : C == 4 ? 1 : 2) : (C == 1 ? 2 : 1);
    for (index_t n = 0; n < op.tiles; n += lanes<T>) {
        if (op.stride == 2) {
            if constexpr (C <= 2) {
                Pass<C, 2, 0, 1, 0, 4>::template run<T>(op, n);
                Pass<C, 2, 1, 1, 0, 4>::template run<T>(op, n);
                Pass<C, 2, 3, 1, 0, 4>::template run<T>(op, n);
            } else {
                Pass<C, 2, 0, 1, 0, 2>::template run<T>(op, n);
                Pass<C, 2, 0, 1, 3, 4>::template run<T>(op, n);
                Pass<C, 2, 1, 1, 0, 4>::template run<T>(op, n);
                Pass<C, 2, 3, 1, 0, 2>::template run<T>(op, n);
                Pass<C, 2, 3, 1, 3, 4>::template run<T>(op, n);
            }
            continue;
        }
        Pass<C, 1, 0, Rows, 0, 4>::template run<T>(op, n);
        if constexpr (Rows == 2) Pass<C, 1, 2, 2, 0, 4>::template run<T>(op, n);
        if constexpr (Rows == 1) {
            Pass<C, 1, 1, 1, 0, 4>::template run<T>(op, n);
            Pass<C, 1, 2, 1, 0, 4>::template run<T>(op, n);
            Pass<C, 1, 3, 1, 0, 4>::template run<T>(op, n);
        }
    }
}

template <class T>
void winograd_few_input_gradient(const WinogradFewInputGradient<T>& op) noexcept {
    switch (op.channels) {
        case 1:
            return multiply<T, 1>(op);
        case 2:
            return multiply<T, 2>(op);
        case 3:
            return multiply<T, 3>(op);
        default:
            return multiply<T, 4>(op);
    }
}

}  // namespace

void register_winograd_few_input_gradient(Kernels& table) noexcept {
    table.f32.winograd_few_input_gradient = winograd_few_input_gradient<float>;
    table.f64.winograd_few_input_gradient = winograd_few_input_gradient<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
