// The contract of the kernels for gradients of pooling.
#pragma once

#include "common.hpp"

namespace fastconv::kernels {

// A place in an image, as wide as T.
template <class T>
struct place_of {
    using type = std::int32_t;
};
template <>
struct place_of<double> {
    using type = std::int64_t;
};
template <class T>
using place_t = typename place_of<T>::type;

// The gradient of a pooling at `pixels` windows that no other window meets, lanes <= channels: for every tap i
//   dx[to] = grad[from] / divisor, or with argmax: argmax[from] is origin + to ? grad[from] : 0
//   from = m * channels + c,  to = m * dx_stride + tap_offsets[i] + c
// origin + to < 2**31. Unless dx_ahead is 0, dx[to + dx_ahead], which is written soon, is asked for. `stream`: dx,
// aligned to cache lines as each of its pixels is, goes to memory past the caches, and the next row of windows,
// behind this one, is asked for.
template <class T>
struct WindowGradient {
    const T* grad;
    const std::int64_t* argmax;  // null for the mean
    const index_t* tap_offsets;
    index_t taps, divisor;
    index_t pixels, channels;
    T* dx;
    index_t dx_stride;
    index_t origin;
    index_t dx_ahead;
    bool stream;
};

// The gradient of max pooling at `pixels` pixels of dx that the same `windows` reach, lanes <= channels:
//   dx[m * dx_stride + c] = sum over i of grad[at] where places[at] is origin + m * dx_stride + c, else 0
//   at = m * stride + offsets[i] + c
// as one chain of additions from 0 on. There may be no window at all.
template <class T>
struct MaxPoolGradient {
    const T* grad;
    const place_t<T>* places;
    index_t stride;
    const index_t* offsets;
    index_t windows;
    index_t pixels, channels;
    T* dx;
    index_t dx_stride;
    index_t origin;
};

// The gradient of max pooling by windows of 3x3 at a stride of 2, lanes <= channels, at two rows of dx, of which the
// window row `below` begins with the first and the one `above` ends there. Windows q < windows of both begin at
// pixel 2 * q - pad:
//   dx[r][w * channels + c] = sum over the windows of both rows that contain the pixel of
//     grad where argmax is origin + r * row + w * channels + c, else 0,   w < width
// as one chain of additions from 0 on, in row order. A row that is null is not in the image. 0 <= pad; places below
// 2**31; room for 6 * channels. `stream` as above.
template <class T>
struct MeetingWindows {
    struct Windows {
        const T* grad;
        const std::int64_t* argmax;
    };
    Windows above, below;  // windows x channels each; null where there are none
    index_t windows, channels, pad;
    T* dx[2];
    index_t width, row;
    index_t origin;
    T* room;
    bool stream;
};

}  // namespace fastconv::kernels
