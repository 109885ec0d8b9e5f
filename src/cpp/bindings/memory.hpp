// Arrays on pooled blocks.
#pragma once

#include <pybind11/numpy.h>

#include <vector>

#include "common.hpp"

namespace fastconv::bindings {

// Uninitialised. Raises TypeError for a dtype that is no plain number, ValueError for negative sizes, MemoryError.
pybind11::array empty(const std::vector<index_t>& shape, const pybind11::dtype& dtype);

}  // namespace fastconv::bindings
