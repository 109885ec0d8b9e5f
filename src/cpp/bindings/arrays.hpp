// What every binding asks of its arrays before it hands out a pointer.
//
// A pointer given out by Arguments is of native dtype T, aligned, C-contiguous and of the stated shape. The memory
// of an output is writable and apart from every other array of the call; output_or_input may also be exactly one
// of them. The py::array arguments of the binding keep the memory alive while the GIL is released.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

#include "common.hpp"

namespace fastconv::bindings {

namespace py = pybind11;

using OptionalArray = std::optional<py::array>;

inline Activation activation(bool relu) { return relu ? Activation::relu : Activation::linear; }

// The dtype's number is the same for both byte orders.
template <class T>
bool has_native_dtype(const py::array& array) {
    constexpr char swapped = std::endian::native == std::endian::little ? '>' : '<';
    const py::dtype dtype = array.dtype();
    return dtype.normalized_num() == py::dtype::num_of<T>() && dtype.byteorder() != swapped;
}

template <class Iterator>
std::string format_shape(Iterator begin, Iterator end) {
    std::string text = "(";
    for (Iterator dim = begin; dim != end; ++dim) text += (dim == begin ? "" : ", ") + std::to_string(*dim);
    return text + (end - begin == 1 ? ",)" : ")");
}

class Arguments {
    using List = std::initializer_list<index_t>;  // dimensions in braces

  public:
    explicit Arguments(const char* operation) : operation_(operation) {}

    void rank(const char* name, const py::array& array, py::ssize_t rank) const {
        if (array.ndim() != rank) {
            refuse(name, "has the wrong rank", std::to_string(rank) + " dimensions", received_shape(array));
        }
    }

    void at_least_1d(const char* name, const py::array& array) const {
        if (array.ndim() < 1) refuse(name, "has the wrong rank", "at least 1 dimension", received_shape(array));
    }

    void same_shape(const char* name, const py::array& array, const py::array& other) const {
        shape(name, array, other.shape(), other.shape() + other.ndim());
    }

    // Inputs come before outputs: an output is compared with every array seen so far.
    template <class T>
    const T* input(const char* name, const py::array& array) {
        memory<T>(name, array);
        remember(name, array);
        return static_cast<const T*>(array.data());
    }

    template <class T, class Dims = List>
    const T* input(const char* name, const py::array& array, const Dims& dims) {
        shape(name, array, dims.begin(), dims.end());
        return input<T>(name, array);
    }

    template <class T, class Dims = List>
    const T* input(const char* name, const OptionalArray& array, const Dims& dims) {
        return array ? input<T>(name, *array, dims) : nullptr;
    }

    template <class T>
    T* output(const char* name, const py::array& array) {
        return writable<T>(name, array, false);
    }

    template <class T, class Dims = List>
    T* output(const char* name, const py::array& array, const Dims& dims) {
        shape(name, array, dims.begin(), dims.end());
        return output<T>(name, array);
    }

    template <class T, class Dims = List>
    T* output(const char* name, const OptionalArray& array, const Dims& dims) {
        return array ? output<T>(name, *array, dims) : nullptr;
    }

    // For elementwise operations: an output that may also be an input, but not a part of one.
    template <class T>
    T* output_or_input(const char* name, const py::array& array) {
        return writable<T>(name, array, true);
    }

  private:
    struct Range {
        const char* name;
        std::uintptr_t begin, end;
    };

    static std::string received_shape(const py::array& array) {
        return "shape " + format_shape(array.shape(), array.shape() + array.ndim());
    }

    std::string message(const char* name, const char* rule, const std::string& expected,
                        const std::string& received) const {
        return std::string(operation_) + ": " + name + " " + rule + ", expected " + expected + ", received " +
               received;
    }

    [[noreturn]] void refuse(const char* name, const char* rule, const std::string& expected,
                             const std::string& received) const {
        throw py::value_error(message(name, rule, expected, received));
    }

    template <class Iterator>
    void shape(const char* name, const py::array& array, Iterator begin, Iterator end) const {
        bool equal = array.ndim() == end - begin;
        const py::ssize_t* dim = array.shape();
        for (Iterator i = begin; equal && i != end; ++i, ++dim) equal = *dim == *i;
        if (!equal) refuse(name, "has the wrong shape", format_shape(begin, end), received_shape(array));
    }

    template <class T>
    void memory(const char* name, const py::array& array) const {
        if (!has_native_dtype<T>(array)) {
            throw py::type_error(message(name, "has the wrong dtype", py::str(py::dtype::of<T>()),
                                         py::str(static_cast<const py::object&>(array.dtype()))));
        }
        if ((array.flags() & py::array::c_style) == 0) {
            refuse(name, "must be C-contiguous", "a C-contiguous array", "other strides");
        }
        if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) {
            refuse(name, "must be aligned", "an aligned array", "a misaligned array");
        }
    }

    template <class T>
    T* writable(const char* name, const py::array& array, bool in_place) {
        memory<T>(name, array);
        if (!array.writeable()) refuse(name, "must be writable", "a writable array", "a read-only array");
        const Range range = remember(name, array);
        for (std::size_t i = 0; i + 1 < count_; ++i) {
            const Range& other = ranges_[i];
            const bool same = range.begin == other.begin && range.end == other.end;
            const bool overlap = range.begin < other.end && other.begin < range.end;
            if (overlap && !(same && in_place)) {
                refuse(name, "must not share memory with another argument", "separate memory",
                       std::string("an overlap with ") + other.name);
            }
        }
        return static_cast<T*>(const_cast<void*>(array.data()));
    }

    Range remember(const char* name, const py::array& array) {
        const auto begin = reinterpret_cast<std::uintptr_t>(array.data());
        return ranges_.at(count_++) = {name, begin, begin + static_cast<std::uintptr_t>(array.nbytes())};
    }

    const char* operation_;
    std::array<Range, 8> ranges_;
    std::size_t count_ = 0;
};

template <class T>
struct Type {
    using type = T;
};

// Calls body(Type<T>{}, arguments), T being the dtype of `array`.
template <class Body>
void dispatch(const char* operation, const char* name, const py::array& array, Body body) {
    Arguments arguments(operation);
    try {
        if (has_native_dtype<float>(array)) {
            body(Type<float>{}, arguments);
        } else if (has_native_dtype<double>(array)) {
            body(Type<double>{}, arguments);
        } else {
            throw py::type_error(std::string(operation) + ": " + name +
                                 " has the wrong dtype, expected native float32 or float64, received " +
                                 std::string(py::str(static_cast<const py::object&>(array.dtype()))));
        }
    } catch (const std::invalid_argument& error) {
        throw py::value_error(std::string(operation) + ": " + error.what());
    } catch (const std::bad_alloc&) {
        py::set_error(PyExc_MemoryError, (std::string(operation) + ": out of memory for scratch space").c_str());
        throw py::error_already_set();
    }
}

}  // namespace fastconv::bindings
