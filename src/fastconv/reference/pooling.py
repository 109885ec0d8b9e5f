"""Maximum and average pooling and their gradients, one pass per tap of the window."""

# ruff: noqa: ARG001 - num_threads is there to have the signatures of fastconv.ops.
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from fastconv._arrays import argmax_array, check_argmax_range, check_shape, float_array
from fastconv._pool_windows import pool_windows
from fastconv._shapes import Windows, image_shape, input_shape_argument, nhwc_shape
from fastconv._types import DataFormat, FloatArray, IntArray, IntOrPair, Padding
from fastconv.reference._layout import Float64Array, crop, finish, from_nhwc, nhwc, pad, taps


@overload
def max_pool2d(
    x: npt.ArrayLike,
    pool_size: IntOrPair = 2,
    *,
    strides: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    ceil_mode: bool = False,
    return_argmax: Literal[False] = False,
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray: ...


@overload
def max_pool2d(
    x: npt.ArrayLike,
    pool_size: IntOrPair = 2,
    *,
    strides: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    ceil_mode: bool = False,
    return_argmax: Literal[True],
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> tuple[FloatArray, IntArray]: ...


def max_pool2d(
    x: npt.ArrayLike,
    pool_size: IntOrPair = 2,
    *,
    strides: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    ceil_mode: bool = False,
    return_argmax: bool = False,
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray | tuple[FloatArray, IntArray]:
    """Maximum of each window, over its cells inside the image; the padding is never chosen.

    Of equal cells the first in row-major order wins. NaN wins over every number, the first NaN
    over later ones. A window of -inf alone gives -inf and the index of its first cell.

    Args:
        x: `(N, H, W, C)`, or `(N, C, H, W)` with `data_format="channels_first"`; float32 or
            float64.
        pool_size: int or (vertical, horizontal).
        strides: None means `pool_size`.
        padding: "valid", "same", an int, `(ph, pw)` or `((top, bottom), (left, right))`.
        dilation_rate: distance between neighbouring cells of a window.
        ceil_mode: keep a last window that only a part of the image fills.
        return_argmax: return the places of the maxima too.
        out: array to fill with the maxima.
        num_threads: ignored.

    Returns:
        The maxima, `(N, out_height, out_width, C)` or channels second; with `return_argmax` also
        their int64 codes `(row * W + column) * C + channel` within one image of `x`, in the shape
        of the maxima. The code numbers the cells of a channels_last image in both data formats.

    Raises:
        ValueError: an output size below 1, a window without a cell of the image, unknown names.
        TypeError: a dtype other than float32 and float64.

    >>> import numpy as np
    >>> image = np.float32([[1, 5, 2], [4, 3, 9]]).reshape(1, 2, 3, 1)
    >>> y, argmax = max_pool2d(image, 2, ceil_mode=True, return_argmax=True)
    >>> y.ravel().tolist(), argmax.ravel().tolist()
    ([5.0, 9.0], [1, 5])
    """
    operation = "max_pool2d"
    x = float_array(operation, "x", x, rank=4)
    _, height, width, _ = nhwc_shape(operation, "x", x.shape, data_format)
    windows = pool_windows(
        operation,
        (height, width),
        pool_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        ceil_mode=ceil_mode,
    )
    best, argmax = maxima(nhwc(x, data_format), windows)
    y = finish(operation, from_nhwc(best, data_format), x.dtype, out, (x,))
    return (y, from_nhwc(argmax, data_format)) if return_argmax else y


def max_pool2d_gradient(
    grad: npt.ArrayLike,
    argmax: npt.ArrayLike,
    input_shape: Sequence[int],
    *,
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """Gradient of `sum(grad * max_pool2d(x))`: each value goes to the cell that was the maximum.

    In channels_last::

        dx[n].ravel()[argmax[n, oh, ow, c]] += grad[n, oh, ow, c]

    Args:
        grad: gradient of the maxima, float32 or float64.
        argmax: int64 codes of `max_pool2d`, in the shape of `grad`.
        input_shape: shape of `x`, in `data_format`.
        out: array to fill.
        num_threads: ignored.

    Returns:
        The gradient of `x`, in `input_shape` and the dtype of `grad`.

    Raises:
        ValueError: shapes that do not fit, or a code outside the image.
        TypeError: an `argmax` that is not int64, a `grad` that is not float32 or float64.
    """
    operation = "max_pool2d_gradient"
    grad = float_array(operation, "grad", grad, rank=4)
    batch, height, width, channels = input_shape_argument(operation, input_shape, data_format)
    grad_batch, _, _, grad_channels = nhwc_shape(operation, "grad", grad.shape, data_format)
    check_shape(operation, "input_shape", (batch, channels), (grad_batch, grad_channels))
    codes = argmax_array(operation, argmax, grad.shape)
    check_argmax_range(operation, codes, height * width * channels)
    image_size = (batch, height, width, channels)
    dx = scatter(nhwc(grad, data_format), nhwc(codes, data_format), image_size)
    image = from_nhwc(dx, data_format)
    return finish(operation, image, grad.dtype, out, (grad, codes))


@np.errstate(invalid="ignore", over="ignore")
def average_pool2d(
    x: npt.ArrayLike,
    pool_size: IntOrPair = 2,
    *,
    strides: IntOrPair | None = None,
    padding: Padding = "valid",
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """Mean of each window over its cells inside the image.

    The padding counts neither in the sum nor in the number of cells, as in Keras. Args, Returns,
    Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> image = np.float32([[1, 2, 6]]).reshape(1, 1, 3, 1)
    >>> average_pool2d(image, (1, 2), padding="same").ravel().tolist()
    [1.5, 6.0]
    """
    operation = "average_pool2d"
    x = float_array(operation, "x", x, rank=4)
    _, height, width, _ = nhwc_shape(operation, "x", x.shape, data_format)
    windows = pool_windows(operation, (height, width), pool_size, strides=strides, padding=padding)
    padded = pad(nhwc(x, data_format), windows.padding, 0.0)
    total = sum(padded[cells] for _, _, cells in taps(windows))
    y = from_nhwc(total / _cells_in_window(windows), data_format)
    return finish(operation, y, x.dtype, out, (x,))


@np.errstate(invalid="ignore", over="ignore")
def average_pool2d_gradient(
    grad: npt.ArrayLike,
    input_shape: Sequence[int],
    pool_size: IntOrPair = 2,
    *,
    strides: IntOrPair | None = None,
    padding: Padding = "valid",
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """Gradient of `sum(grad * average_pool2d(x))`.

    Each value is shared out evenly over the cells of its window that lie inside the image.

    Args:
        grad: gradient of the means, float32 or float64.
        input_shape: shape of `x`, in `data_format`.
        pool_size, strides, padding, data_format: as given to `average_pool2d`.
        out: array to fill.
        num_threads: ignored.

    Returns:
        The gradient of `x`, in `input_shape` and the dtype of `grad`.

    Raises:
        ValueError: shapes that do not fit.
        TypeError: a dtype other than float32 and float64.
    """
    operation = "average_pool2d_gradient"
    grad = float_array(operation, "grad", grad, rank=4)
    batch, height, width, channels = input_shape_argument(operation, input_shape, data_format)
    windows = pool_windows(operation, (height, width), pool_size, strides=strides, padding=padding)
    expected = image_shape(batch, windows.output_size, channels, data_format)
    check_shape(operation, "grad", grad.shape, expected)
    share = nhwc(grad, data_format).astype(np.float64) / _cells_in_window(windows)
    dx = pad(np.zeros((batch, height, width, channels)), windows.padding, 0.0)
    for _, _, cells in taps(windows):
        dx[cells] += share
    image = from_nhwc(crop(dx, windows), data_format)
    return finish(operation, image, grad.dtype, out, (grad,))


def maxima(x: npt.NDArray[np.generic], windows: Windows) -> tuple[Float64Array, IntArray]:
    """The maxima of an NHWC image and their codes."""
    batch, _, _, channels = x.shape
    padded = pad(x, windows.padding, -np.inf)
    codes, inside = _cell_codes(windows, channels)
    shape = (batch, *windows.output_size, channels)
    best, argmax = np.full(shape, -np.inf), np.full(shape, -1, np.int64)
    for _, _, cells in taps(windows):
        value, code = padded[cells], np.broadcast_to(codes[cells], shape)
        better = (argmax < 0) | (value > best) | (np.isnan(value) & ~np.isnan(best))
        chosen = inside[cells] & better
        best[chosen], argmax[chosen] = value[chosen], code[chosen]
    return best, argmax


def scatter(
    grad: npt.NDArray[np.generic], codes: IntArray, shape: tuple[int, int, int, int]
) -> Float64Array:
    """Add each value of an NHWC gradient to the cell of its image that its code names."""
    dx = np.zeros((shape[0], shape[1] * shape[2] * shape[3]))
    for image, values, places in zip(dx, grad, codes, strict=True):
        # `image[places] += values` would keep one summand of a cell that is named twice.
        np.add.at(image, places.ravel(), values.ravel().astype(np.float64))
    return dx.reshape(shape)


def _cell_codes(
    windows: Windows, channels: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Codes of the padded image's cells (1, height, width, C), and which of them are inside."""
    (top, bottom), (left, right) = windows.padding
    height, width = windows.input_size
    rows = np.arange(-top, height + bottom)[None, :, None, None]
    columns = np.arange(-left, width + right)[None, None, :, None]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return (rows * width + columns) * channels + np.arange(channels), inside


def _cells_in_window(windows: Windows) -> Float64Array:
    image = np.ones((1, *windows.input_size, 1))
    padded = pad(image, windows.padding, 0.0)
    return np.asarray(sum(padded[cells] for _, _, cells in taps(windows)))
