// Activations, softmax, cross-entropy, dropout and layout changes.
#include "ops/elementwise.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"

namespace fastconv::bindings {
namespace {

void relu(const py::array& x, const py::array& y, int num_threads) {
    dispatch("relu", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.same_shape("y", y, x);
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output_or_input<T>("y", y);
        const index_t size = x.size();
        const py::gil_scoped_release release;
        ops::relu(size, x_data, y_data, num_threads);
    });
}

void relu_gradient(const py::array& grad, const py::array& y, const py::array& dx, int num_threads) {
    dispatch("relu_gradient", "grad", grad, [&]<class T>(Type<T>, Arguments& check) {
        check.same_shape("y", y, grad);
        check.same_shape("dx", dx, grad);
        const T* grad_data = check.input<T>("grad", grad);
        const T* y_data = check.input<T>("y", y);
        T* dx_data = check.output_or_input<T>("dx", dx);
        const index_t size = grad.size();
        const py::gil_scoped_release release;
        ops::relu_gradient(size, grad_data, y_data, dx_data, num_threads);
    });
}

template <class Compute>
void softmax_rows(const char* operation, const py::array& x, const py::array& y, const Compute& compute) {
    dispatch(operation, "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.at_least_1d("x", x);
        check.same_shape("y", y, x);
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output_or_input<T>("y", y);
        const index_t classes = x.shape(x.ndim() - 1);
        const index_t rows = classes == 0 ? 0 : x.size() / classes;
        const py::gil_scoped_release release;
        compute(rows, classes, x_data, y_data);
    });
}

void softmax(const py::array& x, const py::array& y, int num_threads) {
    softmax_rows("softmax", x, y, [&](auto... arguments) { ops::softmax(arguments..., num_threads); });
}

void log_softmax(const py::array& x, const py::array& y, int num_threads) {
    softmax_rows("log_softmax", x, y, [&](auto... arguments) { ops::log_softmax(arguments..., num_threads); });
}

// `labels`: int64 class numbers (rows,), or probabilities (rows, classes) in the dtype of `logits`.
void softmax_cross_entropy(const py::array& logits, const py::array& labels, const py::array& loss,
                           const py::array& grad, int num_threads) {
    dispatch("softmax_cross_entropy", "logits", logits, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("logits", logits, 2);
        const index_t rows = logits.shape(0);
        const index_t classes = logits.shape(1);
        const bool sparse = labels.ndim() == 1;
        const T* logits_data = check.input<T>("logits", logits);
        const std::int64_t* classes_data = sparse ? check.input<std::int64_t>("labels", labels, {rows}) : nullptr;
        const T* probabilities_data = sparse ? nullptr : check.input<T>("labels", labels, {rows, classes});
        T* loss_data = check.output<T>("loss", loss, {rows});
        T* grad_data = check.output<T>("grad", grad, {rows, classes});
        if (classes == 0 && rows > 0) {
            throw py::value_error("softmax_cross_entropy: logits must have classes, expected at least 1, received 0");
        }
        const py::gil_scoped_release release;
        if (sparse) {
            ops::softmax_cross_entropy(rows, classes, logits_data, classes_data, loss_data, grad_data, num_threads);
        } else {
            ops::softmax_cross_entropy(rows, classes, logits_data, probabilities_data, loss_data, grad_data,
                                       num_threads);
        }
    });
}

void check_rate(const char* operation, double rate) {
    if (!(rate >= 0 && rate < 1)) {
        throw py::value_error(std::string(operation) + ": rate is out of range, expected 0 <= rate < 1, received " +
                              std::to_string(rate));
    }
}

index_t bytes_of_bits(index_t size) { return (size + 7) / 8; }

void dropout(const py::array& x, const py::array& y, const OptionalArray& kept, double rate, std::uint64_t seed,
             std::uint64_t offset, int num_threads) {
    dispatch("dropout", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.same_shape("y", y, x);
        const index_t size = x.size();
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output_or_input<T>("y", y);
        auto* kept_data = check.output<std::uint8_t>("kept", kept, {bytes_of_bits(size)});
        check_rate("dropout", rate);
        const py::gil_scoped_release release;
        ops::dropout(size, x_data, rate, seed, offset, y_data, kept_data, num_threads);
    });
}

void dropout_gradient(const py::array& grad, const py::array& kept, const py::array& dx, double rate,
                      int num_threads) {
    dispatch("dropout_gradient", "grad", grad, [&]<class T>(Type<T>, Arguments& check) {
        check.same_shape("dx", dx, grad);
        const index_t size = grad.size();
        const T* grad_data = check.input<T>("grad", grad);
        const auto* kept_data = check.input<std::uint8_t>("kept", kept, {bytes_of_bits(size)});
        T* dx_data = check.output_or_input<T>("dx", dx);
        check_rate("dropout_gradient", rate);
        const py::gil_scoped_release release;
        ops::dropout_gradient(size, grad_data, rate, kept_data, dx_data, num_threads);
    });
}

void transpose_planes(const py::array& x, const py::array& y, int num_threads) {
    dispatch("transpose_planes", "x", x, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("x", x, 3);
        const index_t batch = x.shape(0);
        const index_t rows = x.shape(1);
        const index_t columns = x.shape(2);
        const T* x_data = check.input<T>("x", x);
        T* y_data = check.output<T>("y", y, {batch, columns, rows});
        const py::gil_scoped_release release;
        ops::transpose_planes(batch, rows, columns, x_data, y_data, num_threads);
    });
}

}  // namespace

void bind_elementwise(py::module_& m) {
    using py::arg;
    m.def("relu", &relu, arg("x"), arg("y"), arg("num_threads"));
    m.def("relu_gradient", &relu_gradient, arg("grad"), arg("y"), arg("dx"), arg("num_threads"));
    m.def("softmax", &softmax, arg("x"), arg("y"), arg("num_threads"));
    m.def("log_softmax", &log_softmax, arg("x"), arg("y"), arg("num_threads"));
    m.def("softmax_cross_entropy", &softmax_cross_entropy, arg("logits"), arg("labels"), arg("loss"), arg("grad"),
          arg("num_threads"));
    m.def("dropout", &dropout, arg("x"), arg("y"), arg("kept"), arg("rate"), arg("seed"), arg("offset"),
          arg("num_threads"));
    m.def("dropout_gradient", &dropout_gradient, arg("grad"), arg("kept"), arg("dx"), arg("rate"),
          arg("num_threads"));
    m.def("transpose_planes", &transpose_planes, arg("x"), arg("y"), arg("num_threads"));
}

}  // namespace fastconv::bindings
