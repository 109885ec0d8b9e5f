// Outputs that are written past the caches.
#pragma once

#include <cstdint>

#include "common.hpp"
#include "dispatch/kernels.hpp"

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
//
// Convolutions with many products to a result stall more without, and then smaller ones stream. Direct sums and
// Winograd's by parts, 2 threads, plain/streamed, alone and with a reader (3x3 depthwise; ReLU; 2x2 max pooling):
//
//   output     convolution                    alone          with its reader
//     3.2 MB   1x1 64 -> 256, 56x56           0.52 / 0.51    0.67 / 0.72   0.55 / 0.59
//     6.4 MB   1x1 256 -> 256, 28x28, of 8    4.31 / 4.00    4.82 / 4.48   4.60 / 4.30
//              1x1 64 -> 64, 56x56, of 8      1.06 / 1.01    1.44 / 1.38   1.30 / 1.33
//              3x3 s2 3 -> 32, 224x224, of 4  0.47 / 0.49    0.79 / 0.79
//     9.6 MB   1x1 128 -> 128, 56x56, of 6    3.59 / 3.07    4.19 / 3.83
//    12.8 MB   1x1 128 -> 128, 56x56, of 8    4.96 / 4.07    5.51 / 4.90   5.16 / 4.62 (pooling)
//              1x1 128 -> 512, 28x28, of 8    4.26 / 3.96    5.49 / 5.07   5.16 / 4.72
//              3x3 s2 3 -> 32, 224x224, of 8  1.36 / 1.03    2.05 / 1.88   1.88 / 1.80   1.62 / 1.67
//              7x7 s2 3 -> 64, 224x224, of 4  3.94 / 3.65      -           4.74 / 4.46   4.58 / 4.14
//
// and those by Winograd of few channels, whose readers miss more:
//
//    11.1 MB   3x3 1 -> 32, 28x28, of 128     0.26 / 0.35      -           0.52 / 0.93
//    16.8 MB   3x3 3 -> 32, 32x32, of 128     1.01 / 0.89      -           1.61 / 1.61   1.73 / 1.86
//    22.2 MB   3x3 1 -> 64, 28x28, of 128     1.26 / 0.86      -           2.07 / 2.00   1.89 / 1.70
constexpr index_t streamed_bytes = index_t{24} << 20;
constexpr index_t streamed_bytes_of_sums = index_t{8} << 20, streamed_bytes_of_few = index_t{20} << 20;
constexpr index_t stream_line = 64;  // bytes of the cache: what may be streamed is whole lines

inline bool on_a_line(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % stream_line == 0; }
inline bool streams(const void* out, index_t bytes, index_t least = streamed_bytes) {
    return bytes >= least && on_a_line(out);
}

// Whether a vector is a line, so that single stores may be streamed.
template <class T>
bool vectors_are_lines() {
    return dispatch::active<T>().lanes * static_cast<index_t>(sizeof(T)) == stream_line;
}

// What one thread writes and others read goes past the caches too, whatever its size, if the next call writes it
// again: a store to a line that another processor has read since waits until that one gives it up, one line after the
// other. ns a line of 64 bytes, Zen 4, two threads on a third-level cache, and on two (a virtual machine's host moves
// them):
//
//                           write        read
//   plain                 9.7  38.5    0.8   2.5
//   past the caches       2.2   2.1    2.2   2.4
//
// (Asking for the lines with the intent to write, before they are written or when they are read, changes nothing.)
template <class T>
bool streams_to_others(int threads) {
    return threads > 1 && vectors_are_lines<T>();
}

// A matrix whose rows are whole lines, as are blocks of columns.
template <class T>
bool streams_rows(const T* out, index_t rows, index_t columns) {
    constexpr auto element = static_cast<index_t>(sizeof(T));
    const auto& kernels = dispatch::active<T>();
    return columns * element % stream_line == 0 &&
           kernels.block_vectors * kernels.lanes * element % stream_line == 0 &&
           streams(out, rows * columns * element);
}

}  // namespace fastconv::ops
