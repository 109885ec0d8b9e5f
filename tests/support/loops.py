"""Convolution and pooling as one loop per index, on Python numbers: a check of the reference."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Sides = tuple[Pair, Pair]


def _outputs(length: int, sides: Pair, size: int, stride: int, dilation: int) -> int:
    count = 0
    while count * stride + dilation * (size - 1) < length + sum(sides):
        count += 1
    return count


def conv2d(
    x: Array, kernel: Array, strides: Pair, sides: Sides, dilation: Pair, groups: int
) -> Array:
    """NHWC convolution without bias."""
    batch, height, width, _ = x.shape
    kernel_height, kernel_width, group_channels, filters = kernel.shape
    out_height = _outputs(height, sides[0], kernel_height, strides[0], dilation[0])
    out_width = _outputs(width, sides[1], kernel_width, strides[1], dilation[1])
    y = np.zeros((batch, out_height, out_width, filters))
    for n, p, q, f in itertools.product(*map(range, y.shape)):
        total = 0.0
        for i, j, c in itertools.product(
            range(kernel_height), range(kernel_width), range(group_channels)
        ):
            row = p * strides[0] + i * dilation[0] - sides[0][0]
            column = q * strides[1] + j * dilation[1] - sides[1][0]
            if 0 <= row < height and 0 <= column < width:
                channel = f // (filters // groups) * group_channels + c
                total += x[n, row, column, channel] * kernel[i, j, c, f]
        y[n, p, q, f] = total
    return y


def windows(
    x: Array, size: Pair, strides: Pair, sides: Sides, dilation: Pair
) -> tuple[tuple[int, int, int, int], list[list[tuple[int, float]]]]:
    """The output shape and, for each output in C order, its (code, value) cells in row order."""
    batch, height, width, channels = x.shape
    out_height = _outputs(height, sides[0], size[0], strides[0], dilation[0])
    out_width = _outputs(width, sides[1], size[1], strides[1], dilation[1])
    shape = (batch, out_height, out_width, channels)
    found = []
    for n, p, q, c in itertools.product(*map(range, shape)):
        cells = []
        for i, j in itertools.product(*map(range, size)):
            row = p * strides[0] + i * dilation[0] - sides[0][0]
            column = q * strides[1] + j * dilation[1] - sides[1][0]
            if 0 <= row < height and 0 <= column < width:
                cells.append(((row * width + column) * channels + c, x[n, row, column, c]))
        found.append(cells)
    return shape, found


def first_maximum(cells: list[tuple[int, float]]) -> tuple[int, float]:
    """The first NaN, or else the first of the largest cells."""
    for code, value in cells:
        if math.isnan(value):
            return code, value
    largest = max(value for _, value in cells)
    return next((code, value) for code, value in cells if value == largest)
