// Max and average pooling and their gradients.
#include "ops/pool2d.hpp"

#include <algorithm>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/geometry.hpp"
#include "bindings/plain.hpp"

namespace fastconv::bindings {
namespace {

void max_pool2d(const py::array& x, const py::array& y, const OptionalArray& argmax, const PoolIntegers& geometry,
                int num_threads) {
    dispatch("max_pool2d", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("x", x, 4);
        const ops::Pool2dShape s = pool2d_shape(geometry, dims_of(x));
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output<T>("y", y, pooled_dims(s));
        std::int64_t* argmax_data = check.output<std::int64_t>("argmax", argmax, pooled_dims(s));
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
        const ops::Pool2dShape s = pool2d_shape(geometry, dims_of(x));
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output<T>("y", y, pooled_dims(s));
        const py::gil_scoped_release release;
        ops::average_pool2d(s, x_data, y_data, num_threads);
    });
}

void average_pool2d_gradient(const py::array& grad, const py::array& dx, const PoolIntegers& geometry,
                             int num_threads) {
    dispatch("average_pool2d_gradient", "grad", grad, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("dx", dx, 4);
        const ops::Pool2dShape s = pool2d_shape(geometry, dims_of(dx));
        const T* grad_data = check.input<T>("grad", grad, pooled_dims(s));
        T* dx_data = check.output<T>("dx", dx);
        const py::gil_scoped_release release;
        ops::average_pool2d_gradient(s, grad_data, dx_data, num_threads);
    });
}

// `input_shape` as the dimensions of NHWC images.
bool read_dims(py::handle input_shape, Dims4& dims) {
    if (!PyTuple_CheckExact(input_shape.ptr()) || PyTuple_GET_SIZE(input_shape.ptr()) != 4) return false;
    for (std::size_t i = 0; i < 4; ++i)
        if (!read_int(PyTuple_GET_ITEM(input_shape.ptr(), static_cast<Py_ssize_t>(i)), 1, dims[i])) return false;
    return true;
}

// Windows over `dims`.
struct PlainPool {
    PoolIntegers geometry;
    ops::Pool2dShape shape;

    // Not of empty images, of which nobody asks whether each window has a cell.
    bool read(const Dims4& dims, py::handle pool_size, py::handle strides, py::handle padding,
              py::handle dilation_rate) {
        PlainWindows w;
        if (std::find(dims.begin(), dims.end(), 0) != dims.end() || !read_pair(pool_size, 1, w.size) ||
            !w.read(strides.is_none() ? pool_size : strides, padding, dilation_rate, {dims[1], dims[2]}))
            return false;
        const auto [top, bottom] = w.vertical_padding;
        const auto [left, right] = w.horizontal_padding;
        geometry = {w.size[0],     w.size[1], w.strides[0], w.strides[1], w.dilation[0],
                    w.dilation[1], top,       bottom,       left,         right};
        try {
            shape = pool2d_shape(geometry, dims);
            return true;
        } catch (const std::invalid_argument&) {
            return false;
        }
    }
};

// Of what is done in NHWC alone.
bool are_plain_options(py::handle data_format, py::handle out, py::handle num_threads) {
    return is_text(data_format, "channels_last") && is_plain_or_none(out, 4) && num_threads.is_none();
}

// Windows of 2x2 of an image of 8x8x3 in 0.9 us instead of 2.2; means in 0.85 instead of 1.9.
py::object plain_max_pool2d(py::handle x, py::handle pool_size, py::handle strides, py::handle padding,
                            py::handle dilation_rate, py::handle ceil_mode, py::handle return_argmax,
                            py::handle data_format, py::handle out, py::handle num_threads) {
    if (!is_plain(x, 4) || !are_plain_options(data_format, out, num_threads) || ceil_mode.ptr() != Py_False ||
        !is_bool(return_argmax))
        return py::none();
    const auto images = py::reinterpret_borrow<py::array>(x);
    PlainPool pool;
    if (!pool.read(dims_of(images), pool_size, strides, padding, dilation_rate)) return py::none();
    return unless_refused([&]() -> py::object {
        const py::array y = plain_result(out, pooled_dims(pool.shape), images);
        OptionalArray argmax;
        if (return_argmax.ptr() == Py_True) argmax = empty(pooled_dims(pool.shape), py::dtype::of<std::int64_t>());
        max_pool2d(images, y, argmax, pool.geometry, 0);
        if (argmax) return py::make_tuple(y, *argmax);
        return y;
    });
}

// In NCHW too, unless a code belongs to another plane.
py::object plain_max_pool2d_gradient(py::handle grad, py::handle argmax, py::handle input_shape,
                                     py::handle data_format, py::handle out, py::handle num_threads) {
    Dims4 dims;
    const bool planar = is_text(data_format, "channels_first");
    if (!is_plain(grad, 4) || !is_plain(argmax, 4) || !read_dims(input_shape, dims) ||
        !(planar || is_text(data_format, "channels_last")) || !is_plain_or_none(out, 4) || !num_threads.is_none())
        return py::none();
    const auto values = py::reinterpret_borrow<py::array>(grad), places = py::reinterpret_borrow<py::array>(argmax);
    const int channel_axis = planar ? 1 : 3;
    if (values.shape(0) != dims[0] || values.shape(channel_axis) != dims[channel_axis]) return py::none();
    return unless_refused([&]() -> py::object {
        const py::array dx = plain_result(out, dims, values);
        if (!planar)
            max_pool2d_gradient(values, places, dx, 0);
        else if (!planar_max_pool2d_gradient(values, places, dx, 0))
            return py::none();
        return dx;
    });
}

py::object plain_average_pool2d(py::handle x, py::handle pool_size, py::handle strides, py::handle padding,
                                py::handle data_format, py::handle out, py::handle num_threads) {
    if (!is_plain(x, 4) || !are_plain_options(data_format, out, num_threads)) return py::none();
    const auto images = py::reinterpret_borrow<py::array>(x);
    PlainPool pool;
    if (!pool.read(dims_of(images), pool_size, strides, padding, py::int_(1))) return py::none();
    return unless_refused([&]() -> py::object {
        const py::array y = plain_result(out, pooled_dims(pool.shape), images);
        average_pool2d(images, y, pool.geometry, 0);
        return y;
    });
}

py::object plain_average_pool2d_gradient(py::handle grad, py::handle input_shape, py::handle pool_size,
                                         py::handle strides, py::handle padding, py::handle data_format,
                                         py::handle out, py::handle num_threads) {
    Dims4 dims, images;
    PlainPool pool;
    const bool first = is_text(data_format, "channels_first");
    if (!is_plain(grad, 4) || !(first || is_text(data_format, "channels_last")) || !is_plain_or_none(out, 4) ||
        !num_threads.is_none() || !read_dims(input_shape, dims))
        return py::none();
    // Planes of channels are images of one, each with one window.
    images = first ? Dims4{dims[0] * dims[1], dims[2], dims[3], 1} : dims;
    if (!pool.read(images, pool_size, strides, padding, py::int_(1)) || (first && !pool.shape.is_global()))
        return py::none();
    const auto values = py::reinterpret_borrow<py::array>(grad);
    if (first && dims_of(values) != Dims4{dims[0], dims[1], 1, 1}) return py::none();
    return unless_refused([&]() -> py::object {
        const py::array dx = plain_result(out, dims, values);
        if (!first) {
            average_pool2d_gradient(values, dx, pool.geometry, 0);
            return dx;
        }
        average_pool2d_gradient(py::array(values).reshape({images[0], index_t{1}, index_t{1}, index_t{1}}),
                                py::array(dx).reshape(images), pool.geometry, 0);
        return dx;
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
    m.def("plain_max_pool2d", &plain_max_pool2d, arg("x"), arg("pool_size"), arg("strides"), arg("padding"),
          arg("dilation_rate"), arg("ceil_mode"), arg("return_argmax"), arg("data_format"), arg("out"),
          arg("num_threads"));
    m.def("plain_max_pool2d_gradient", &plain_max_pool2d_gradient, arg("grad"), arg("argmax"), arg("input_shape"),
          arg("data_format"), arg("out"), arg("num_threads"));
    m.def("plain_average_pool2d", &plain_average_pool2d, arg("x"), arg("pool_size"), arg("strides"), arg("padding"),
          arg("data_format"), arg("out"), arg("num_threads"));
    m.def("plain_average_pool2d_gradient", &plain_average_pool2d_gradient, arg("grad"), arg("input_shape"),
          arg("pool_size"), arg("strides"), arg("padding"), arg("data_format"), arg("out"), arg("num_threads"));
}

}  // namespace fastconv::bindings
