// Geometry crosses the border as tuples of plain integers, in the order of the fields below.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>

#include "bindings/arrays.hpp"
#include "ops/conv2d.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::bindings {

// The integers of a tuple; pybind11 takes four times as long for any sequence.
template <std::size_t size>
struct Integers : std::array<index_t, size> {};

// stride, dilation (height, width each), pad top, bottom, left, right, groups
using ConvIntegers = Integers<9>;
// pool, stride, dilation (height, width each), pad top, bottom, left, right; a partial window that counts is
// in the padding
using PoolIntegers = Integers<10>;

using Dims4 = std::array<index_t, 4>;

inline Dims4 dims_of(const py::array& array) {
    return {array.shape(0), array.shape(1), array.shape(2), array.shape(3)};
}

// `input` (N,H,W,C); `kernel` (kh,kw,C/groups,K) is of rank 4. The kernel's third dimension is checked with the rest
// of its shape, against kernel_dims() of the result.
inline ops::Conv2dShape conv2d_shape(const ConvIntegers& g, const Dims4& input, const py::array& kernel) {
    return ops::conv2d_shape({.stride_height = g[0],
                              .stride_width = g[1],
                              .dilation_height = g[2],
                              .dilation_width = g[3],
                              .pad_top = g[4],
                              .pad_bottom = g[5],
                              .pad_left = g[6],
                              .pad_right = g[7],
                              .groups = g[8]},
                             input[0], input[1], input[2], input[3], kernel.shape(0), kernel.shape(1),
                             kernel.shape(3));
}

inline Dims4 kernel_dims(const ops::Conv2dShape& s) {
    return {s.kernel_height, s.kernel_width, s.group_in_channels(), s.out_channels};
}

// `input` is the activation (N,H,W,C) before the pooling.
inline ops::Pool2dShape pool2d_shape(const PoolIntegers& g, const Dims4& input) {
    return ops::pool2d_shape({.pool_height = g[0],
                              .pool_width = g[1],
                              .stride_height = g[2],
                              .stride_width = g[3],
                              .dilation_height = g[4],
                              .dilation_width = g[5],
                              .pad_top = g[6],
                              .pad_bottom = g[7],
                              .pad_left = g[8],
                              .pad_right = g[9]},
                             input[0], input[1], input[2], input[3]);
}

inline Dims4 pooled_dims(const ops::Pool2dShape& s) { return {s.batch, s.out_height, s.out_width, s.channels}; }

}  // namespace fastconv::bindings

namespace pybind11::detail {

template <std::size_t size>
struct type_caster<fastconv::bindings::Integers<size>> {
    using Tuple = fastconv::bindings::Integers<size>;
    PYBIND11_TYPE_CASTER(Tuple, const_name("tuple[int, ...]"));

    bool load(handle source, bool) {
        if (!PyTuple_CheckExact(source.ptr()) || PyTuple_GET_SIZE(source.ptr()) != static_cast<Py_ssize_t>(size))
            return false;
        for (std::size_t i = 0; i < size; ++i) {
            PyObject* const item = PyTuple_GET_ITEM(source.ptr(), static_cast<Py_ssize_t>(i));
            if (!PyLong_CheckExact(item)) return false;
            value[i] = PyLong_AsSsize_t(item);
            if (value[i] == -1 && PyErr_Occurred()) {
                PyErr_Clear();
                return false;
            }
        }
        return true;
    }
};

}  // namespace pybind11::detail
