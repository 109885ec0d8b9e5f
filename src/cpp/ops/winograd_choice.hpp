// Where Winograd F(2x2, 3x3), or in fast precision F(4x4, 3x3), is faster than direct sums.
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

enum class Direction { forward, input_gradient, kernel_gradient };

// Outputs of a tile along each axis, 2 or 4, or 0 for direct sums: always in strict precision. 4 in fast precision
// alone, and not for kernel gradients. Depends on the image alone, not on how many there are: the bits of an image
// are those it has in a batch.
template <class T>
index_t winograd_outputs(const Conv2dShape& shape, Direction direction);

// Whether F(2x2, 3x3) pays for few input channels, from images to results at once; also in front of 2x2 pooling.
template <class T>
bool winograd_few_pays(const Conv2dShape& shape, Direction direction);

}  // namespace fastconv::ops
