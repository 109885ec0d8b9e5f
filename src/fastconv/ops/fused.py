"""Convolution, bias, activation and maximum pooling in one pass, and the gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, overload

from fastconv import _core
from fastconv._arrays import (
    argmax_array,
    bias_array,
    check_argmax_range,
    check_shape,
    float_array,
)
from fastconv._shapes import check_activation, check_wrt
from fastconv.ops._geometry import conv2d_plan, pool2d_plan
from fastconv.ops._memory import (
    INT64,
    allocate,
    channels_last,
    channels_last_buffer,
    core_threads,
    gradient_results,
    packed,
    result,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from fastconv._types import (
        Activation,
        Conv2DGradients,
        DataFormat,
        FloatArray,
        IntArray,
        IntOrPair,
        Padding,
    )


@overload
def conv2d_max_pool2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    groups: int = 1,
    pool_size: IntOrPair = 2,
    pool_strides: IntOrPair | None = None,
    activation: Activation = "relu",
    return_argmax: Literal[False] = False,
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray: ...


@overload
def conv2d_max_pool2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    groups: int = 1,
    pool_size: IntOrPair = 2,
    pool_strides: IntOrPair | None = None,
    activation: Activation = "relu",
    return_argmax: Literal[True],
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> tuple[FloatArray, IntArray]: ...


def conv2d_max_pool2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    groups: int = 1,
    pool_size: IntOrPair = 2,
    pool_strides: IntOrPair | None = None,
    activation: Activation = "relu",
    return_argmax: bool = False,
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray | tuple[FloatArray, IntArray]:
    """`max_pool2d(conv2d(x, kernel, bias, activation=...), pool_size, strides=pool_strides)`.

    One pass: the result of the convolution does not reach memory. The pooling is "valid". As the
    activation comes first, a window without a positive value has its maximum 0 in its first cell.

    Args:
        x: `(N, H, W, C)`, or `(N, C, H, W)` with `data_format="channels_first"`; float32 or
            float64.
        kernel: `(kernel_height, kernel_width, C / groups, filters)` in either data format.
        bias: `(filters,)`.
        strides, padding, dilation_rate, groups: of the convolution, as in `conv2d`.
        pool_size, pool_strides: int or (vertical, horizontal); strides None means `pool_size`.
        activation: None, "linear" or "relu", applied before the pooling.
        return_argmax: return the places of the maxima too.
        out: array to fill with the maxima, C-contiguous, apart from the inputs.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        `(N, pooled_height, pooled_width, filters)` or channels second; with `return_argmax` also
        the int64 codes of the maxima, which number the cells of one image of the convolution's
        result, as in `max_pool2d`.

    Raises:
        ValueError, TypeError, MemoryError: as `conv2d` and `max_pool2d`.

    >>> import numpy as np
    >>> x = np.float32([[1, 5, 2], [4, -9, 3]]).reshape(1, 2, 3, 1)
    >>> conv2d_max_pool2d(x, np.ones((1, 2, 1, 1), np.float32), pool_size=(2, 1)).ravel().tolist()
    [6.0, 7.0]
    """
    operation = "conv2d_max_pool2d"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    conv = conv2d_plan(
        operation, x.shape, kernel.shape, strides, padding, dilation_rate, groups, data_format
    )
    pool = pool2d_plan(
        operation,
        conv.result_shape,
        data_format,
        pool_size,
        pool_strides,
        "valid",
        1,
        False,
        "pool_strides",
    )
    bias = bias_array(operation, bias, conv.filters, x.dtype)
    inputs = (x, kernel) if bias is None else (x, kernel, bias)
    check_activation(operation, activation)
    threads = core_threads(operation, num_threads)
    shape = pool.result_shape
    y = result(operation, out, shape, x.dtype, inputs)
    argmax: IntArray | None = allocate(operation, shape, INT64) if return_argmax else None
    y_buffer = channels_last_buffer(operation, y, data_format)
    argmax_buffer = None if argmax is None else channels_last_buffer(operation, argmax, data_format)
    _core.conv2d_max_pool2d(
        channels_last(operation, x, data_format, threads),
        packed(operation, kernel),
        None if bias is None else packed(operation, bias),
        y_buffer,
        argmax_buffer,
        conv.geometry,
        pool.geometry,
        activation == "relu",
        threads,
    )
    store(y_buffer, y, data_format, threads)
    if argmax is None or argmax_buffer is None:
        return y
    store(argmax_buffer, argmax, data_format, threads)
    return y, argmax


def conv2d_max_pool2d_gradients(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    grad: npt.ArrayLike,
    argmax: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    groups: int = 1,
    pool_size: IntOrPair = 2,
    pool_strides: IntOrPair | None = None,
    activation: Activation = "relu",
    data_format: DataFormat = "channels_last",
    wrt: Iterable[str] = ("x", "kernel", "bias"),
    out: Conv2DGradients | None = None,
    num_threads: int | None = None,
) -> Conv2DGradients:
    """Gradients of `sum(grad * conv2d_max_pool2d(x, kernel, bias))`.

    With "relu" a value passes where `y > 0`; it goes to the cell that `argmax` names; from there
    `conv2d_gradients`.

    Args:
        x, kernel and the other arguments: as given to `conv2d_max_pool2d`.
        grad: gradient of the result.
        argmax, y: the codes and the result that `conv2d_max_pool2d` returned.
        wrt, out: as in `conv2d_gradients`; `out` is of undefined content after a ValueError for
            `argmax`.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        `Conv2DGradients(x, kernel, bias)`, None where not asked for.

    Raises:
        ValueError, TypeError, MemoryError: as `conv2d_gradients` and `max_pool2d_gradient`.

    >>> import numpy as np
    >>> x, kernel = np.float32([1, 5, 2]).reshape(1, 1, 3, 1), np.ones((1, 2, 1, 1), np.float32)
    >>> y, argmax = conv2d_max_pool2d(x, kernel, pool_size=(1, 2), return_argmax=True)
    >>> gradients = conv2d_max_pool2d_gradients(
    ...     x, kernel, np.ones_like(y), argmax, y, pool_size=(1, 2)
    ... )
    >>> [gradient.ravel().tolist() for gradient in gradients]
    [[0.0, 1.0, 1.0], [5.0, 2.0], [1.0]]
    """
    operation = "conv2d_max_pool2d_gradients"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    grad = float_array(operation, "grad", grad, rank=4, dtype=x.dtype)
    y = float_array(operation, "y", y, rank=4, dtype=x.dtype)
    check_activation(operation, activation)
    names = check_wrt(operation, wrt)
    conv = conv2d_plan(
        operation, x.shape, kernel.shape, strides, padding, dilation_rate, groups, data_format
    )
    pool = pool2d_plan(
        operation,
        conv.result_shape,
        data_format,
        pool_size,
        pool_strides,
        "valid",
        1,
        False,
        "pool_strides",
    )
    check_shape(operation, "grad", grad.shape, pool.result_shape)
    check_shape(operation, "y", y.shape, pool.result_shape)
    codes = argmax_array(operation, argmax, pool.result_shape)
    threads = core_threads(operation, num_threads)
    sizes = (x.shape, kernel.shape, (conv.filters,))
    inputs = (x, kernel, grad, codes, y)
    gradients = gradient_results(operation, out, names, sizes, x.dtype, inputs)
    dx = None if gradients.x is None else channels_last_buffer(operation, gradients.x, data_format)
    try:
        _core.conv2d_max_pool2d_gradients(
            channels_last(operation, x, data_format, threads),
            packed(operation, kernel),
            channels_last(operation, grad, data_format, threads),
            channels_last(operation, codes, data_format, threads),
            channels_last(operation, y, data_format, threads),
            dx,
            gradients.kernel,
            gradients.bias,
            conv.geometry,
            pool.geometry,
            activation == "relu",
            threads,
        )
    except ValueError:
        check_argmax_range(operation, codes, math.prod(conv.result_shape[1:]))
        raise
    if dx is not None and gradients.x is not None:
        store(dx, gradients.x, data_format, threads)
    return gradients
