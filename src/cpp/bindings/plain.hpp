// The short way of an operation: what nearly every call is, plain arrays and numbers that fit, is checked, allocated
// and computed by one call from Python. It answers None to anything else, which the longer way serves, or refuses in
// words.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <stdexcept>

#include "bindings/arrays.hpp"
#include "bindings/memory.hpp"

namespace fastconv::bindings {

// An ndarray, of no subclass, as the core takes it, but for its shape.
inline bool is_plain(py::handle value, int rank) {
    const auto& numpy = py::detail::npy_api::get();
    if (reinterpret_cast<PyObject*>(Py_TYPE(value.ptr())) != reinterpret_cast<PyObject*>(numpy.PyArray_Type_))
        return false;
    const auto* array = py::detail::array_proxy(value.ptr());
    constexpr int packed = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    return array->nd == rank && (array->flags & packed) == packed;
}

inline bool is_plain_or_none(py::handle value, int rank) { return value.is_none() || is_plain(value, rank); }

inline bool is_bool(py::handle value) { return value.ptr() == Py_True || value.ptr() == Py_False; }

inline bool is_text(py::handle value, const char* text) {
    return PyUnicode_CheckExact(value.ptr()) && PyUnicode_CompareWithASCIIString(value.ptr(), text) == 0;
}

inline OptionalArray optional_array(py::handle value) {
    OptionalArray array;
    if (!value.is_none()) array = py::reinterpret_borrow<py::array>(value);
    return array;
}

// An int from `least` on, up to where the longer way refuses it.
inline bool read_int(py::handle value, index_t least, index_t& number) {
    if (!PyLong_CheckExact(value.ptr())) return false;
    int overflow = 0;
    number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    return overflow == 0 && number >= least && number <= index_t{0x7fffffff};
}

using Pair = std::array<index_t, 2>;  // (vertical, horizontal), or (before, after)

// One int for both, or a tuple of two.
inline bool read_pair(py::handle value, index_t least, Pair& pair) {
    PyObject* const both = value.ptr();
    if (!PyTuple_CheckExact(both)) return read_int(both, least, pair[0]) && ((pair[1] = pair[0]), true);
    return PyTuple_GET_SIZE(both) == 2 && read_int(PyTuple_GET_ITEM(both, 0), least, pair[0]) &&
           read_int(PyTuple_GET_ITEM(both, 1), least, pair[1]);
}

struct PlainWindows {
    Pair size, strides, dilation, vertical_padding, horizontal_padding;

    // All but the size, of arguments with the meaning that they have in Python, for images of `in` cells.
    bool read(py::handle stride, py::handle padding, py::handle dilation_rate, const Pair& in) {
        return read_pair(stride, 1, strides) && read_pair(dilation_rate, 1, dilation) && read_padding(padding, in);
    }

  private:
    bool read_padding(py::handle value, const Pair& in) {
        PyObject* const sides = value.ptr();
        if (is_text(value, "same")) {
            vertical_padding = same_padding(in, 0);
            horizontal_padding = same_padding(in, 1);
            return true;
        }
        if (PyTuple_CheckExact(sides) && PyTuple_GET_SIZE(sides) == 2 &&
            PyTuple_CheckExact(PyTuple_GET_ITEM(sides, 0)) && PyTuple_CheckExact(PyTuple_GET_ITEM(sides, 1)))
            return read_pair(PyTuple_GET_ITEM(sides, 0), 0, vertical_padding) &&
                   read_pair(PyTuple_GET_ITEM(sides, 1), 0, horizontal_padding);
        Pair same{};
        if (!is_text(value, "valid") && !read_pair(value, 0, same)) return false;
        vertical_padding = {same[0], same[0]};
        horizontal_padding = {same[1], same[1]};
        return true;
    }
    Pair same_padding(const Pair& in, std::size_t axis) const {
        const index_t steps = in[axis] == 0 ? 0 : (in[axis] - 1) / strides[axis];
        const index_t extent = steps * strides[axis] + dilation[axis] * (size[axis] - 1) + 1;
        const index_t missing = extent > in[axis] ? extent - in[axis] : 0;
        return {missing / 2, missing - missing / 2};
    }
};

// `out`, or a new array of the dtype of `x`; within unless_refused.
inline py::array plain_result(py::handle out, std::span<const index_t> shape, const py::array& x) {
    if (out.is_none()) return empty(shape, x.dtype());
    auto result = py::reinterpret_borrow<py::array>(out);
    if (!std::equal(shape.begin(), shape.end(), result.shape(), result.shape() + result.ndim()))
        throw std::invalid_argument("out");
    return result;
}

// What `body` returns, None for what the core refuses.
template <class Body>
py::object unless_refused(const Body& body) {
    try {
        return body();
    } catch (const py::builtin_exception&) {
        return py::none();
    } catch (const std::invalid_argument&) {
        return py::none();
    } catch (py::error_already_set&) {
        return py::none();
    }
}

}  // namespace fastconv::bindings
