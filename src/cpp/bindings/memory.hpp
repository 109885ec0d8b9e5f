// Arrays on pooled blocks.
#pragma once

#include <pybind11/numpy.h>

#include <span>

#include "common.hpp"

namespace fastconv::bindings {

// Uninitialised. Raises TypeError for a dtype that is no plain number, ValueError for negative sizes, MemoryError.
pybind11::array empty(std::span<const index_t> shape, const pybind11::dtype& dtype);

}  // namespace fastconv::bindings
