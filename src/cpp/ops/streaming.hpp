// Outputs that are written past the caches.
#pragma once

#include <cstdint>

#include "common.hpp"

namespace fastconv::ops {

// Outputs of this size are written past the caches: their own reader would not find them there, and the stores of one
// tile no longer wait for lines. Zen 4, 32 MB L3, 2 threads, 224x224x3 -> 64, 3x3 and what reads it, ms,
// plain/streamed:
//
//   output     convolution     + 2x2 max pooling   + 64 -> 64, 3x3
//    12.8 MB   0.99 /  0.95      1.14 /  1.25        11.6 / 10.7
//    25.7 MB   2.21 /  1.88      2.83 /  2.79        22.1 / 21.5
//    51.4 MB     -  /   -        6.49 /  5.66        43.8 / 42.6
//   102.8 MB   9.37 /  7.72     12.04 / 11.41        95.9 / 95.2
//   25.7 MB of 7x7 s2 -> 64: 9.51 / 8.47
constexpr index_t streamed_bytes = index_t{24} << 20;
constexpr index_t stream_line = 64;  // bytes of the cache: what may be streamed is whole lines

inline bool streams(const void* out, index_t bytes) {
    return bytes >= streamed_bytes && reinterpret_cast<std::uintptr_t>(out) % stream_line == 0;
}

}  // namespace fastconv::ops
