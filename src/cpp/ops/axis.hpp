// One spatial axis of a windowed operation, and its cut into segments without border cases.
//
// Output t of `length` sits at position `out_start + t * out_step` and reads, for each tap, the input position
// `t * in_step + offset`, if that lies in [0, in_length). Forward convolution and pooling have out_step 1 and
// in_step = stride. The input gradient of stride s falls into s unit-stride axes, one for each residue of the
// input position, each with the taps that reach it.
#pragma once

#include <vector>

#include "common.hpp"
#include "ops/cut.hpp"

namespace fastconv::ops {

struct Tap {
    index_t kernel_index;
    index_t offset;
};

struct Axis {
    index_t length, out_start, out_step;
    index_t in_length, in_step;
    std::vector<Tap> taps;  // by increasing offset; only those that are inside the image for some t
};

// A run of outputs that all read the taps [first_tap, last_tap), the others being outside the image.
struct Segment {
    index_t begin, end;
    index_t first_tap, last_tap;
};

Axis forward_axis(index_t in_length, index_t out_length, index_t kernel, index_t stride, index_t dilation,
                  index_t pad_before);

// The positions of dx congruent to `residue` modulo stride, 0 <= residue < stride; length 0 if there are none.
Axis gradient_axis(index_t in_length, index_t out_length, index_t kernel, index_t stride, index_t dilation,
                   index_t pad_before, index_t residue);

std::vector<Segment> segments(const Axis& axis);

// The outputs whose tap, at `offset` from the position of output 0, lies inside the image.
Range outputs_reading(index_t offset, index_t in_length, index_t out_length, index_t stride);

}  // namespace fastconv::ops
