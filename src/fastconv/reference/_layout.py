"""Helpers of the reference: layouts, activations, rounding and taps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fastconv._arrays import check_out
from fastconv._shapes import Windows, check_activation
from fastconv._types import FloatArray, PaddingPairs

Float64Array: TypeAlias = npt.NDArray[np.float64]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def nhwc(array: npt.NDArray[_Scalar], data_format: str) -> npt.NDArray[_Scalar]:
    """A view of a 4-D array in channels_last order."""
    return array if data_format == "channels_last" else array.transpose(0, 2, 3, 1)


def from_nhwc(array: npt.NDArray[_Scalar], data_format: str) -> npt.NDArray[_Scalar]:
    """The inverse of `nhwc`, C-contiguous."""
    view = array if data_format == "channels_last" else array.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(view)


def activate(operation: str, y: Float64Array, activation: str | None) -> Float64Array:
    """Apply a fused activation; ReLU is 0 below 0 and lets NaN through."""
    check_activation(operation, activation)
    return np.where(y < 0, 0.0, y) if activation == "relu" else y


def finish(
    operation: str,
    result: npt.NDArray[np.generic],
    dtype: np.dtype[np.floating],
    out: FloatArray | None,
    inputs: tuple[npt.NDArray[np.generic], ...],
    *,
    argument: str = "out",
    in_place: bool = False,
) -> FloatArray:
    """Round the float64 result once to `dtype` and fill `out` with it if there is one."""
    with np.errstate(over="ignore"):
        rounded: FloatArray = result.astype(dtype)
    if out is None:
        return rounded
    out = check_out(
        operation, out, rounded.shape, dtype, inputs, argument=argument, in_place=in_place
    )
    out[...] = rounded
    return out


def pad(x: npt.NDArray[np.generic], padding: PaddingPairs, value: float) -> Float64Array:
    """An NHWC image in float64 with `value` around it."""
    return np.pad(
        x.astype(np.float64), ((0, 0), *padding, (0, 0)), mode="constant", constant_values=value
    )


def crop(padded: Float64Array, windows: Windows) -> Float64Array:
    """The image inside `pad`'s result."""
    (top, _), (left, _) = windows.padding
    height, width = windows.input_size
    return padded[:, top : top + height, left : left + width]


def taps(windows: Windows) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
    """The taps (i, j) of the window in row-major order, each with the cells that it reads.

    The cells are an index of the padded NHWC image, one cell for each output cell: rows
    `o * stride + i * dilation` for all `o`, and columns likewise.
    """
    (stride_y, stride_x), (dilation_y, dilation_x) = windows.strides, windows.dilation_rate
    out_height, out_width = windows.output_size
    for i in range(windows.kernel_size[0]):
        for j in range(windows.kernel_size[1]):
            top, left = i * dilation_y, j * dilation_x
            rows = slice(top, top + (out_height - 1) * stride_y + 1, stride_y)
            columns = slice(left, left + (out_width - 1) * stride_x + 1, stride_x)
            yield i, j, (slice(None), rows, columns)
