// The fused convolution + bias + activation + max pooling and its gradients.
#include "ops/conv2d_pool2d.hpp"

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/geometry.hpp"

namespace fastconv::bindings {
namespace {

ops::Pool2dShape pool_after(const ops::Conv2dShape& conv, const PoolIntegers& geometry) {
    return pool2d_shape(geometry, {conv.batch, conv.out_height, conv.out_width, conv.out_channels});
}

// The places of maxima may come as the compact codes that the kernels use.
bool is_codes(const py::array& maxima, const ops::Conv2dShape& s, const ops::Pool2dShape& p) {
    if (!has_native_dtype<std::uint8_t>(maxima)) return false;
    if (!ops::has_codes(s, p))
        throw std::invalid_argument("argmax: codes exist for 2x2 windows on a convolution of stride 1 only");
    return true;
}

void conv2d_max_pool2d(const py::array& x, const py::array& kernel, const OptionalArray& bias, const py::array& y,
                       const OptionalArray& argmax, const ConvIntegers& conv_geometry,
                       const PoolIntegers& pool_geometry, bool relu, int num_threads) {
    dispatch("conv2d_max_pool2d", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("x", x, 4);
        check.rank("kernel", kernel, 4);
        const ops::Conv2dShape s = conv2d_shape(conv_geometry, dims_of(x), kernel);
        const ops::Pool2dShape p = pool_after(s, pool_geometry);
        const T* x_data = check.input<T>("x", x);
        const T* kernel_data = check.input<T>("kernel", kernel, kernel_dims(s));
        const T* bias_data = check.input<T>("bias", bias, {s.out_channels});
        T* y_data = check.output<T>("y", y, pooled_dims(p));
        ops::Maxima maxima{};
        if (argmax && is_codes(*argmax, s, p))
            maxima.codes = check.output<std::uint8_t>("argmax", *argmax, pooled_dims(p));
        else
            maxima.argmax = check.output<std::int64_t>("argmax", argmax, pooled_dims(p));
        const py::gil_scoped_release release;
        ops::conv2d_max_pool2d(s, p, x_data, kernel_data, bias_data, activation(relu), y_data, maxima, num_threads);
    });
}

void conv2d_max_pool2d_gradients(const py::array& x, const py::array& kernel, const py::array& grad,
                                 const py::array& argmax, const py::array& y, const OptionalArray& dx,
                                 const OptionalArray& dkernel, const OptionalArray& dbias,
                                 const ConvIntegers& conv_geometry, const PoolIntegers& pool_geometry, bool relu,
                                 int num_threads) {
    dispatch("conv2d_max_pool2d_gradients", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("x", x, 4);
        check.rank("kernel", kernel, 4);
        const ops::Conv2dShape s = conv2d_shape(conv_geometry, dims_of(x), kernel);
        const ops::Pool2dShape p = pool_after(s, pool_geometry);
        const T* x_data = check.input<T>("x", x);
        const T* kernel_data = check.input<T>("kernel", kernel, kernel_dims(s));
        const T* grad_data = check.input<T>("grad", grad, pooled_dims(p));
        const bool codes = is_codes(argmax, s, p);
        const auto* code_data = codes ? check.input<std::uint8_t>("argmax", argmax, pooled_dims(p)) : nullptr;
        const auto* argmax_data = codes ? nullptr : check.input<std::int64_t>("argmax", argmax, pooled_dims(p));
        const T* y_data = check.input<T>("y", y, pooled_dims(p));
        T* dx_data = check.output<T>("dx", dx, {s.batch, s.in_height, s.in_width, s.in_channels});
        T* dkernel_data = check.output<T>("dkernel", dkernel, kernel_dims(s));
        T* dbias_data = check.output<T>("dbias", dbias, {s.out_channels});
        const py::gil_scoped_release release;
        if (codes)
            ops::conv2d_max_pool2d_gradients(s, p, x_data, kernel_data, grad_data, code_data, dx_data, dkernel_data,
                                             dbias_data, num_threads);
        else
            ops::conv2d_max_pool2d_gradients(s, p, x_data, kernel_data, grad_data, argmax_data, y_data,
                                             activation(relu), dx_data, dkernel_data, dbias_data, num_threads);
    });
}

}  // namespace

void bind_conv2d_pool2d(py::module_& m) {
    using py::arg;
    m.def("conv2d_max_pool2d", &conv2d_max_pool2d, arg("x"), arg("kernel"), arg("bias").none(true), arg("y"),
          arg("argmax").none(true), arg("conv_geometry"), arg("pool_geometry"), arg("relu"), arg("num_threads"));
    m.def("conv2d_max_pool2d_gradients", &conv2d_max_pool2d_gradients, arg("x"), arg("kernel"), arg("grad"),
          arg("argmax"), arg("y"), arg("dx").none(true), arg("dkernel").none(true), arg("dbias").none(true),
          arg("conv_geometry"), arg("pool_geometry"), arg("relu"), arg("num_threads"));
}

}  // namespace fastconv::bindings
