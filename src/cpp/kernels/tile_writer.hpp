// The 2x2 outputs of Winograd's tiles on their way to the image, shared by the kernels that compute them in one pass.
#pragma once

#include "kernels/table.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// Op says where, as WinogradFewOutput does: y, height, width, row_stride, pixel_stride and stream.
template <class T, class Op>
class TileWriter {
  public:
    FASTCONV_INLINE TileWriter(const Op& op, Activation activation)
        : op_(op), floor_(broadcast<T>(activation == Activation::relu ? T(0) : -static_cast<T>(__builtin_inff()))) {}

    // Tile n of the row, a vector of columns from k on.
    FASTCONV_INLINE void operator()(index_t n, index_t k, const vec<T> (&y)[4]) {
        const vec<T> sum = (y[0] + y[1]) + (y[2] + y[3]);
        check_ += sum - sum;
        const bool second_column = 2 * n + 1 < op_.width;
        T* out = op_.y + 2 * n * op_.pixel_stride + k;
        put(out, y[0]);
        if (second_column) put(out + op_.pixel_stride, y[1]);
        if (op_.height < 2) return;
        put(out + op_.row_stride, y[2]);
        if (second_column) put(out + op_.row_stride + op_.pixel_stride, y[3]);
    }

    // After the last tile: whether all were finite.
    FASTCONV_INLINE bool finish() const {
        if (op_.stream) stream_fence();
        return mask_bits(static_cast<mask<T>>(different(check_, vec<T>{}))) == 0;
    }

  private:
    FASTCONV_INLINE void put(T* p, vec<T> v) const {
        v = larger(floor_, v);
        if (op_.stream)
            stream(p, v);
        else
            store(p, v);
    }

    const Op& op_;
    const vec<T> floor_;  // max(floor, v) is ReLU or nothing, and keeps NaN
    vec<T> check_{};      // 0 as long as all is finite, else NaN
};

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
