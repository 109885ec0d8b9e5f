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
//
// Max pooling that moves as much, of x, y and argmax, streams argmax, which is not read before the gradient, and asks
// for the next row of windows early: x does not stay either. Plain/streamed:
//
//   moved       pooling                    time
//    19.4 MB    26x26x32, batch 128        0.24 / 0.30
//    25.8 MB    30x30x32, batch 128        0.58 / 0.40
//    38.8 MB    26x26x64, batch 128        1.40 / 0.70
//    40.5 MB    27x27x256, 3x3 s2, of 32   1.64 / 1.11
//    179.8 MB   224x224x64, batch 8        5.48 / 4.21; y too 3.80
//
// The gradient of pooling streams dx of this size: 56x56x256, batch 8: 2.07 / 0.96, and with the kernel gradient that
// reads dx no slower (26.4 / 25.9); of 22.2 MB, 26x26x64, batch 128: 1.12 / 0.88, but with its reader 2.01 / 2.47.
constexpr index_t streamed_bytes = index_t{24} << 20;
constexpr index_t stream_line = 64;  // bytes of the cache: what may be streamed is whole lines

inline bool on_a_line(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % stream_line == 0; }
inline bool streams(const void* out, index_t bytes) { return bytes >= streamed_bytes && on_a_line(out); }

}  // namespace fastconv::ops
