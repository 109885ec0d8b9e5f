// The few names that every folder shares.
#pragma once

#include <cstdint>

namespace fastconv {

// Sizes, strides and offsets are signed 64-bit everywhere, counted in elements.
using index_t = std::int64_t;

enum class Activation : std::int32_t { linear, relu };

}  // namespace fastconv
