// 1x1 convolutions of NCHW images: a product of matrices for each image, with no change of order.
//
//   y[n][m][q] = activation(bias[m] + sum over d of A[m][d] * x[n][d][q])
//
// q runs through the pixels, m and d through the channels on both sides; A is the kernel transposed, for the input
// gradient the kernel itself. Vectors lie along the pixels.
#pragma once

#include <algorithm>

#include "ops/conv2d.hpp"

namespace fastconv::ops {

// The pixels of a plane that a 1x1 convolution reads.
struct Plane {
    static Plane of(const Conv2dShape& s) {
        return {s.in_height * s.in_width,   s.in_width,      s.out_width,
                s.out_height * s.out_width, s.stride_height, s.stride_width};
    }
    bool dense() const { return stride_height == 1 && stride_width == 1; }

    index_t size, row;          // elements
    index_t out_width, pixels;  // outputs
    index_t stride_height, stride_width;

    // `count` pixels from `first` on.
    template <class T>
    void gather(const T* x, index_t first, index_t count, T* out) const {
        for (index_t row_index = first / out_width, q = first % out_width; count > 0; ++row_index, q = 0) {
            const index_t run = std::min(count, out_width - q);
            const T* in = x + row_index * stride_height * row + q * stride_width;
            if (stride_width == 2)
                for (index_t i = 0; i < run; ++i) out[i] = in[2 * i];
            else
                for (index_t i = 0; i < run; ++i) out[i] = in[i * stride_width];
            out += run;
            count -= run;
        }
    }
};

// Whether a 1x1 convolution without padding fills its vectors with pixels well enough.
template <class T>
bool planar_pointwise_pays(const Conv2dShape& shape);

// As conv2d, NCHW. The input gradient asks for unit strides.
template <class T>
void planar_pointwise(const Conv2dShape& shape, const T* x, const T* kernel, const T* bias, Activation activation,
                      T* y, int num_threads);
template <class T>
void planar_pointwise_input_gradient(const Conv2dShape& shape, const T* grad, const T* kernel, const T* bias,
                                     Activation activation, T* dx, int num_threads);

}  // namespace fastconv::ops
