// Matrix products.
#include "ops/matmul.hpp"

#include <pybind11/stl.h>

#include <array>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/plain.hpp"

namespace fastconv::bindings {
namespace {

void matmul(const py::array& a, const py::array& b, const OptionalArray& bias, const py::array& c, bool transpose_a,
            bool transpose_b, bool relu, int num_threads) {
    dispatch("matmul", "a", a, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("a", a, 2);
        check.rank("b", b, 2);
        const index_t rows = a.shape(transpose_a ? 1 : 0);
        const index_t depth = a.shape(transpose_a ? 0 : 1);
        const index_t columns = b.shape(transpose_b ? 0 : 1);
        const T* a_data = check.input<T>("a", a);
        const T* b_data =
            transpose_b ? check.input<T>("b", b, {columns, depth}) : check.input<T>("b", b, {depth, columns});
        const T* bias_data = check.input<T>("bias", bias, {columns});
        T* c_data = check.output<T>("c", c, {rows, columns});
        const py::gil_scoped_release release;
        ops::matmul(rows, columns, depth, a_data, transpose_a, b_data, transpose_b, bias_data, activation(relu),
                    c_data, num_threads);
    });
}

// A product of 4x4 in 0.7 us instead of 1.7.
py::object plain_matmul(py::handle a, py::handle b, py::handle bias, py::handle out, py::handle transpose_a,
                        py::handle transpose_b, py::handle activation, py::handle num_threads) {
    if (!is_plain(a, 2) || !is_plain(b, 2) || !is_plain_or_none(bias, 1) || !is_plain_or_none(out, 2) ||
        !is_bool(transpose_a) || !is_bool(transpose_b) || !(activation.is_none() || is_text(activation, "relu")) ||
        !num_threads.is_none())
        return py::none();
    const bool turn_a = transpose_a.ptr() == Py_True, turn_b = transpose_b.ptr() == Py_True;
    const auto left = py::reinterpret_borrow<py::array>(a), right = py::reinterpret_borrow<py::array>(b);
    return unless_refused([&]() -> py::object {
        const std::array<index_t, 2> shape{left.shape(turn_a ? 1 : 0), right.shape(turn_b ? 0 : 1)};
        const py::array c = plain_result(out, shape, left);
        matmul(left, right, optional_array(bias), c, turn_a, turn_b, !activation.is_none(), 0);
        return c;
    });
}

}  // namespace

void bind_matmul(py::module_& m) {
    using py::arg;
    m.def("matmul", &matmul, arg("a"), arg("b"), arg("bias").none(true), arg("c"), arg("transpose_a"),
          arg("transpose_b"), arg("relu"), arg("num_threads"));
    m.def("plain_matmul", &plain_matmul, arg("a"), arg("b"), arg("bias"), arg("out"), arg("transpose_a"),
          arg("transpose_b"), arg("activation"), arg("num_threads"));
}

}  // namespace fastconv::bindings
