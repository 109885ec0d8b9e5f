// Max and average pooling and their gradients.
#include "ops/pool2d.hpp"

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/geometry.hpp"

namespace fastconv::bindings {
namespace {

void max_pool2d(const py::array& x, const py::array& y, const OptionalArray& argmax, const PoolIntegers& geometry,
                int num_threads) {
    dispatch("max_pool2d", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("x", x, 4);
        const ops::Pool2dShape s = pool2d_shape(geometry, x);
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output<T>("y", y, {s.batch, s.out_height, s.out_width, s.channels});
        std::int64_t* argmax_data =
            check.output<std::int64_t>("argmax", argmax, {s.batch, s.out_height, s.out_width, s.channels});
        const py::gil_scoped_release release;
        ops::max_pool2d(s, x_data, y_data, argmax_data, num_threads);
    });
}

void max_pool2d_gradient(const py::array& grad, const py::array& argmax, const py::array& dx, int num_threads) {
    dispatch("max_pool2d_gradient", "grad", grad, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("grad", grad, 4);
        check.rank("dx", dx, 4);
        check.same_shape("argmax", argmax, grad);
        const T* grad_data = check.input<T>("grad", grad);
        const std::int64_t* argmax_data = check.input<std::int64_t>("argmax", argmax);
        const index_t batch = grad.shape(0);
        T* dx_data = check.output<T>("dx", dx, {batch, dx.shape(1), dx.shape(2), grad.shape(3)});
        const ops::PoolSizes sizes{batch, dx.shape(1), dx.shape(2), grad.shape(3), grad.shape(1), grad.shape(2)};
        const py::gil_scoped_release release;
        ops::max_pool2d_gradient(sizes, grad_data, argmax_data, dx_data, num_threads);
    });
}

bool planar_max_pool2d_gradient(const py::array& grad, const py::array& argmax, const py::array& dx,
                                int num_threads) {
    bool done = false;
    dispatch("planar_max_pool2d_gradient", "grad", grad, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("grad", grad, 4);
        check.rank("dx", dx, 4);
        check.same_shape("argmax", argmax, grad);
        const T* grad_data = check.input<T>("grad", grad);
        const std::int64_t* argmax_data = check.input<std::int64_t>("argmax", argmax);
        const index_t batch = grad.shape(0), channels = grad.shape(1);
        T* dx_data = check.output<T>("dx", dx, {batch, channels, dx.shape(2), dx.shape(3)});
        const ops::PoolSizes sizes{batch, dx.shape(2), dx.shape(3), channels, grad.shape(2), grad.shape(3)};
        const py::gil_scoped_release release;
        done = ops::planar_max_pool2d_gradient(sizes, grad_data, argmax_data, dx_data, num_threads);
    });
    return done;
}

void average_pool2d(const py::array& x, const py::array& y, const PoolIntegers& geometry, int num_threads) {
    dispatch("average_pool2d", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("x", x, 4);
        const ops::Pool2dShape s = pool2d_shape(geometry, x);
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output<T>("y", y, {s.batch, s.out_height, s.out_width, s.channels});
        const py::gil_scoped_release release;
        ops::average_pool2d(s, x_data, y_data, num_threads);
    });
}

void average_pool2d_gradient(const py::array& grad, const py::array& dx, const PoolIntegers& geometry,
                             int num_threads) {
    dispatch("average_pool2d_gradient", "grad", grad, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("dx", dx, 4);
        const ops::Pool2dShape s = pool2d_shape(geometry, dx);
        const T* grad_data = check.input<T>("grad", grad, {s.batch, s.out_height, s.out_width, s.channels});
        T* dx_data = check.output<T>("dx", dx);
        const py::gil_scoped_release release;
        ops::average_pool2d_gradient(s, grad_data, dx_data, num_threads);
    });
}

}  // namespace

void bind_pool2d(py::module_& m) {
    using py::arg;
    m.def("max_pool2d", &max_pool2d, arg("x"), arg("y"), arg("argmax").none(true), arg("geometry"),
          arg("num_threads"));
    m.def("max_pool2d_gradient", &max_pool2d_gradient, arg("grad"), arg("argmax"), arg("dx"), arg("num_threads"));
    m.def("planar_max_pool2d_gradient", &planar_max_pool2d_gradient, arg("grad"), arg("argmax"), arg("dx"),
          arg("num_threads"));
    m.def("average_pool2d", &average_pool2d, arg("x"), arg("y"), arg("geometry"), arg("num_threads"));
    m.def("average_pool2d_gradient", &average_pool2d_gradient, arg("grad"), arg("dx"), arg("geometry"),
          arg("num_threads"));
}

}  // namespace fastconv::bindings
