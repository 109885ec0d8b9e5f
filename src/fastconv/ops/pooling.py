"""Maximum and average pooling and their gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, overload

from fastconv import _core
from fastconv._arrays import argmax_array, check_argmax_range, float_array
from fastconv.ops._geometry import (
    average_pool2d_gradient_plan,
    max_pool2d_gradient_plan,
    pool2d_plan,
)
from fastconv.ops._memory import (
    INT64,
    allocate,
    channels_last,
    channels_last_buffer,
    core_threads,
    is_planar,
    packed,
    planes,
    result,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fastconv._types import DataFormat, FloatArray, IntArray, IntOrPair, Padding


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
        out: array to fill with the maxima, C-contiguous, apart from `x`.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        The maxima, `(N, out_height, out_width, C)` or channels second; with `return_argmax` also
        their int64 codes `(row * W + column) * C + channel` within one image of `x`, in the shape
        of the maxima. The code numbers the cells of a channels_last image in both data formats.

    Raises:
        ValueError: an output size below 1, a window without a cell of the image, an unknown name,
            a bad `out`.
        TypeError: a dtype other than float32 and float64, not an array.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> image = np.float32([[1, 5, 2], [4, 3, 9]]).reshape(1, 2, 3, 1)
    >>> y, argmax = max_pool2d(image, 2, ceil_mode=True, return_argmax=True)
    >>> y.ravel().tolist(), argmax.ravel().tolist()
    ([5.0, 9.0], [1, 5])
    """
    done = _core.plain_max_pool2d(
        x,
        pool_size,
        strides,
        padding,
        dilation_rate,
        ceil_mode,
        return_argmax,
        data_format,
        out,
        num_threads,
    )
    if done is not None:
        return done
    operation = "max_pool2d"
    x = float_array(operation, "x", x, rank=4)
    shape, geometry = pool2d_plan(
        operation, x.shape, data_format, pool_size, strides, padding, dilation_rate, ceil_mode
    )
    threads = core_threads(operation, num_threads)
    y = result(operation, out, shape, x.dtype, (x,))
    argmax: IntArray | None = allocate(operation, shape, INT64) if return_argmax else None
    if data_format == "channels_last":
        _core.max_pool2d(packed(operation, x), y, argmax, geometry, threads)
        return y if argmax is None else (y, argmax)
    y_buffer = channels_last_buffer(operation, y, data_format)
    argmax_buffer = None if argmax is None else channels_last_buffer(operation, argmax, data_format)
    _core.max_pool2d(
        channels_last(operation, x, data_format, threads),
        y_buffer,
        argmax_buffer,
        geometry,
        threads,
    )
    store(y_buffer, y, data_format, threads)
    if argmax is None or argmax_buffer is None:
        return y
    store(argmax_buffer, argmax, data_format, threads)
    return y, argmax


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

    In a formula::

        dx[n].ravel()[argmax[n, oh, ow, c]] += grad[n, oh, ow, c]

    Args:
        grad: gradient of the maxima, float32 or float64.
        argmax: int64 codes of `max_pool2d`, in the shape of `grad`.
        input_shape: shape of `x`, in `data_format`.
        out: array to fill; of undefined content after a ValueError for `argmax`.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        The gradient of `x`, in `input_shape` and the dtype of `grad`.

    Raises:
        ValueError: shapes that do not fit, a code outside the image, a bad `out`.
        TypeError: an `argmax` that is not int64, a `grad` that is not float32 or float64.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> grad, argmax = np.float32([7]).reshape(1, 1, 1, 1), np.array([2]).reshape(1, 1, 1, 1)
    >>> max_pool2d_gradient(grad, argmax, (1, 2, 2, 1)).ravel().tolist()
    [0.0, 0.0, 7.0, 0.0]
    """
    done = _core.plain_max_pool2d_gradient(grad, argmax, input_shape, data_format, out, num_threads)
    if done is not None:
        return done
    operation = "max_pool2d_gradient"
    grad = float_array(operation, "grad", grad, rank=4)
    shape = max_pool2d_gradient_plan(operation, grad.shape, input_shape, data_format)
    codes = argmax_array(operation, argmax, grad.shape)
    threads = core_threads(operation, num_threads)
    dx = result(operation, out, shape, grad.dtype, (grad, codes))
    try:
        if data_format == "channels_last":
            _core.max_pool2d_gradient(
                packed(operation, grad), packed(operation, codes), dx, threads
            )
        else:
            _max_gradient_channels_first(operation, grad, codes, dx, threads)
    except ValueError:  # the core checks a code where it uses it, and cannot say which one it was
        check_argmax_range(operation, codes, math.prod(shape[1:]))
        raise
    return dx


def _max_gradient_channels_first(
    operation: str, grad: FloatArray, codes: IntArray, dx: FloatArray, threads: int
) -> None:
    data_format = "channels_first"
    if is_planar(data_format, grad, codes) and _core.planar_max_pool2d_gradient(
        packed(operation, grad), packed(operation, codes), dx, threads
    ):
        return
    buffer = channels_last_buffer(operation, dx, data_format)
    _core.max_pool2d_gradient(
        channels_last(operation, grad, data_format, threads),
        channels_last(operation, codes, data_format, threads),
        buffer,
        threads,
    )
    store(buffer, dx, data_format, threads)


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

    The padding counts neither in the sum nor in the number of cells, as in Keras.

    Args, Returns, Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> image = np.float32([[1, 2, 6]]).reshape(1, 1, 3, 1)
    >>> average_pool2d(image, (1, 2), padding="same").ravel().tolist()
    [1.5, 6.0]
    """
    done = _core.plain_average_pool2d(x, pool_size, strides, padding, data_format, out, num_threads)
    if done is not None:
        return done
    operation = "average_pool2d"
    x = float_array(operation, "x", x, rank=4)
    shape, geometry = pool2d_plan(operation, x.shape, data_format, pool_size, strides, padding)
    threads = core_threads(operation, num_threads)
    y = result(operation, out, shape, x.dtype, (x,))
    if data_format == "channels_last":
        _core.average_pool2d(packed(operation, x), y, geometry, threads)
        return y
    if is_planar(data_format, x) and _planes_pay(x.shape, geometry):
        _core.average_pool2d(planes(packed(operation, x)), planes(y), geometry, threads)
        return y
    buffer = channels_last_buffer(operation, y, data_format)
    _core.average_pool2d(
        channels_last(operation, x, data_format, threads), buffer, geometry, threads
    )
    store(buffer, y, data_format, threads)
    return y


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
        out: array to fill, C-contiguous, apart from `grad`.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        The gradient of `x`, in `input_shape` and the dtype of `grad`.

    Raises:
        ValueError: shapes that do not fit, a bad `out`.
        TypeError: a dtype other than float32 and float64, not an array.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> grad = np.float32([2]).reshape(1, 1, 1, 1)
    >>> average_pool2d_gradient(grad, (1, 1, 2, 1), (1, 2)).ravel().tolist()
    [1.0, 1.0]
    """
    done = _core.plain_average_pool2d_gradient(
        grad, input_shape, pool_size, strides, padding, data_format, out, num_threads
    )
    if done is not None:
        return done
    operation = "average_pool2d_gradient"
    grad = float_array(operation, "grad", grad, rank=4)
    shape, geometry = average_pool2d_gradient_plan(
        operation, grad.shape, input_shape, data_format, pool_size, strides, padding
    )
    threads = core_threads(operation, num_threads)
    dx = result(operation, out, shape, grad.dtype, (grad,))
    if data_format == "channels_last":
        _core.average_pool2d_gradient(packed(operation, grad), dx, geometry, threads)
        return dx
    if is_planar(data_format, grad) and _gradient_planes_pay(shape, geometry):
        _core.average_pool2d_gradient(
            planes(packed(operation, grad)), planes(dx), geometry, threads
        )
        return dx
    buffer = channels_last_buffer(operation, dx, data_format)
    _core.average_pool2d_gradient(
        channels_last(operation, grad, data_format, threads),
        buffer,
        geometry,
        threads,
    )
    store(buffer, dx, data_format, threads)
    return dx


def _covers(x_shape: tuple[int, ...], geometry: tuple[int, ...]) -> bool:
    """Whether the one window of a pooling of (N, C, H, W) images is the whole image."""
    return geometry[:2] == x_shape[2:] and not any(geometry[6:])


def _planes_pay(x_shape: tuple[int, ...], geometry: tuple[int, ...]) -> bool:
    """Whether means of (N, C, H, W) images are faster plane by plane than by way of (N, H, W, C).

    Time by way of (N, H, W, C) over that by planes, Zen 4, AVX-512, 1 thread, batch 8::

        x          window, stride   gain    x         window, stride   gain
        64x112x112     2x2, 2       3.2     1024x14x14    2x2, 2       1.1
        64x112x112     3x3, 2       2.0      512x4x4      2x2, 2       0.14
        256x56x56      2x2, 2       3.6      192x28x28    3x3, 1       0.6
        64x56x56       3x3, 1       1.8      512x14x14    3x3, 1       0.2
        512x28x28      2x2, 2       1.8      256x27x27    3x3, 3       0.2
        128x40x40      2x2, 2       1.7     2048x7x7      global       2.8
    """
    row_stride, column_stride = geometry[2:4]
    return _covers(x_shape, geometry) or (column_stride <= 2 and x_shape[3] * row_stride >= 48)


def _gradient_planes_pay(x_shape: tuple[int, ...], geometry: tuple[int, ...]) -> bool:
    """Whether their gradient is: of windows side by side, but in very small images.

    As above: 2x2 windows of 64x112x112 5.8, 512x28x28 4.1, 1024x14x14 1.2, 512x4x4 0.3; 3x3 of
    256x27x27 1.1; global of 2048x7x7 2.9.
    """
    side_by_side = geometry[:2] == geometry[2:4] and not any(geometry[6:])
    return _covers(x_shape, geometry) or (side_by_side and x_shape[3] >= 14)
