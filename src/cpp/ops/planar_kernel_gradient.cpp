// The kernel gradient of activations in NCHW.
#include "ops/conv2d.hpp"
#include "ops/layout.hpp"

namespace fastconv::ops {

template <class T>
void conv2d_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads,
                            Layout layout) {
    runtime::Buffer<T> x_copy, grad_copy;
    x = to_channels_last(layout, s.batch, s.in_channels, s.in_height * s.in_width, x, x_copy, num_threads);
    grad =
        to_channels_last(layout, s.batch, s.out_channels, s.out_height * s.out_width, grad, grad_copy, num_threads);
    conv2d_kernel_gradient(s, x, grad, dkernel, num_threads);
}

template void conv2d_kernel_gradient(const Conv2dShape&, const float*, const float*, float*, int, Layout);
template void conv2d_kernel_gradient(const Conv2dShape&, const double*, const double*, double*, int, Layout);

}  // namespace fastconv::ops
