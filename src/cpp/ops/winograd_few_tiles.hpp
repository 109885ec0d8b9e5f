// Winograd F(2x2, 3x3) for few tiles beside many weights, as of one image of 7x7 pixels and 512 channels.
#pragma once

#include "ops/conv2d.hpp"
#include "ops/winograd_choice.hpp"

namespace fastconv::ops {

template <class T>
bool winograd_few_tiles_pay(const Conv2dShape& shape, Direction direction);

// Convolution (`x` -> `y`), or its input gradient (`x` is that of the outputs, `y` that of the inputs), with the bits
// of WinogradConv2d; false, with y void, if a sum is not finite.
template <class T>
bool winograd_few_tiles(const Conv2dShape& shape, Direction direction, const T* x, const T* kernel, const T* bias,
                        Activation activation, T* y, int num_threads);

}  // namespace fastconv::ops
