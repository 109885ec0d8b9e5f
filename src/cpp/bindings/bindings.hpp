// One function per family, each in the file of its name; module.cpp calls them.
#pragma once

#include <pybind11/pybind11.h>

namespace fastconv::bindings {

void bind_conv2d(pybind11::module_& m);
void bind_pool2d(pybind11::module_& m);
void bind_conv2d_pool2d(pybind11::module_& m);
void bind_matmul(pybind11::module_& m);
void bind_elementwise(pybind11::module_& m);
void bind_optimizer(pybind11::module_& m);
void bind_memory(pybind11::module_& m);
void bind_chain(pybind11::module_& m);
void bind_control(pybind11::module_& m);

}  // namespace fastconv::bindings
