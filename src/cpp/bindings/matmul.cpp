// Matrix products.
#include "ops/matmul.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"

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

}  // namespace

void bind_matmul(py::module_& m) {
    using py::arg;
    m.def("matmul", &matmul, arg("a"), arg("b"), arg("bias").none(true), arg("c"), arg("transpose_a"),
          arg("transpose_b"), arg("relu"), arg("num_threads"));
}

}  // namespace fastconv::bindings
