// A matrix cut into panels of `width` columns, each of them dense, row after row (formula: pack_panels in table.hpp).
//
// A run of `width` elements is some vectors and a rest of fewer than `lanes`, which is a constant of the code: copies
// of a known size are two overlapping moves, and touch nothing beyond. Rows lie far apart, where the hardware
// foresees little: what comes a few rows later is asked for ahead of time (a product of 256x1024: 72 to 83 % of
// peak).
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

constexpr index_t rows_ahead = 4;

template <class T, int Rest>
void copy_panels(index_t rows, index_t panels, const T* in, index_t in_stride, index_t width, T* out,
                 index_t panel_stride, index_t out_stride) noexcept {
    constexpr int V = lanes<T>;
    for (index_t r = 0; r < rows; ++r, in += in_stride, out += out_stride) {
        const T* from = in;
        T* panel = out;
        for (index_t i = 0; i < panels; ++i, from += width, panel += panel_stride) {
            index_t c = 0;
            for (; c + V <= width; c += V) {
                __builtin_prefetch(from + rows_ahead * in_stride + c);
                store(panel + c, load(from + c));
            }
            if constexpr (Rest > 0) {
                __builtin_prefetch(from + rows_ahead * in_stride + c);
                __builtin_memcpy(panel + c, from + c, Rest * sizeof(T));
            }
        }
    }
}

template <class T>
struct Copies {
    decltype(&copy_panels<T, 0>) of[lanes<T>] = {};  // [width % lanes]
    template <int Rest>
    constexpr void fill() {
        of[Rest] = copy_panels<T, Rest>;
        if constexpr (Rest > 0) fill<Rest - 1>();
    }
    constexpr Copies() { fill<lanes<T> - 1>(); }
};

template <class T>
constexpr Copies<T> copies;

template <class T>
void pack_panels(index_t rows, index_t columns, const T* in, index_t in_stride, index_t width, T* out,
                 index_t panel_stride) noexcept {
    const index_t panels = columns / width, left = columns % width;
    if (panels > 0) copies<T>.of[width % lanes<T>](rows, panels, in, in_stride, width, out, panel_stride, width);
    if (left > 0)
        copies<T>.of[left % lanes<T>](rows, 1, in + panels * width, in_stride, left, out + panels * panel_stride,
                                      panel_stride, width);
}

}  // namespace

void register_panels(Kernels& table) noexcept {
    table.f32.pack_panels = pack_panels<float>;
    table.f64.pack_panels = pack_panels<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
