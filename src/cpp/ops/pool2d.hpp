// Max and average pooling and their gradients on NHWC activations.
//
// Padding is never chosen by max pooling and never counted by average pooling. The first maximum in row order
// wins a tie; NaN wins over everything. argmax counts (row * in_width + column) * channels + c inside one image.
#pragma once

#include "common.hpp"

namespace fastconv::ops {

struct Pool2dGeometry {
    index_t pool_height = 2, pool_width = 2;
    index_t stride_height = 2, stride_width = 2;
    index_t dilation_height = 1, dilation_width = 1;
    index_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
};

struct PoolSizes {
    index_t batch, in_height, in_width, channels;
    index_t out_height, out_width;

    index_t input_size() const { return batch * in_height * in_width * channels; }
    index_t output_size() const { return batch * out_height * out_width * channels; }
};

struct Pool2dShape : Pool2dGeometry, PoolSizes {
    // Whether the one window is the image.
    bool is_global() const {
        return out_height == 1 && out_width == 1 && pool_height == in_height && pool_width == in_width &&
               pad_top == 0 && pad_left == 0;
    }
    // Whether the windows fill the image from its first row and column on without meeting, but for rows and columns
    // at the end that are in none.
    bool windows_fill_image() const {
        return pool_height == stride_height && pool_width == stride_width && dilation_height == 1 &&
               dilation_width == 1 && pad_top == 0 && pad_left == 0 && out_height * stride_height <= in_height &&
               out_width * stride_width <= in_width;
    }
};

// Derives the output size and checks what memory safety rests on (as conv2d_shape), and that every window
// spans part of the image. Throws std::invalid_argument naming the rule.
Pool2dShape pool2d_shape(const Pool2dGeometry& geometry, index_t batch, index_t in_height, index_t in_width,
                         index_t channels);

// `argmax` may be null.
template <class T>
void max_pool2d(const Pool2dShape& shape, const T* x, T* y, std::int64_t* argmax, int num_threads);

// dx[n, argmax[n,i]] += grad[n,i], whatever windows the maxima are of. Throws std::invalid_argument, with dx
// undefined, if an index is outside the image.
template <class T>
void max_pool2d_gradient(const PoolSizes& sizes, const T* grad, const std::int64_t* argmax, T* dx, int num_threads);

// The same in NCHW; false, with dx undefined, unless every index is in the plane of its own channel, and below 2**31.
template <class T>
bool planar_max_pool2d_gradient(const PoolSizes& sizes, const T* grad, const std::int64_t* argmax, T* dx,
                                int num_threads);

template <class T>
void average_pool2d(const Pool2dShape& shape, const T* x, T* y, int num_threads);

template <class T>
void average_pool2d_gradient(const Pool2dShape& shape, const T* grad, T* dx, int num_threads);

}  // namespace fastconv::ops
