// Where Winograd F(2x2, 3x3) is faster than direct sums.
#pragma once

#include "ops/conv2d.hpp"

namespace fastconv::ops {

enum class Direction { forward, input_gradient, kernel_gradient };

// Never in strict precision. Depends on the image alone, not on how many there are: the bits of an image are those it
// has in a batch.
template <class T>
bool winograd_pays(const Conv2dShape& shape, Direction direction);

// The same for few input channels, from images to results at once; also in front of 2x2 pooling.
template <class T>
bool winograd_few_pays(const Conv2dShape& shape, Direction direction);

}  // namespace fastconv::ops
