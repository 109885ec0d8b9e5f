"""The fused convolution and pooling: the steps of the operations that they equal."""

# ruff: noqa: ARG001 - num_threads is there to have the signatures of fastconv.ops.
from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from fastconv._arrays import argmax_array, check_argmax_range, check_shape, float_array
from fastconv._pool_windows import pool_windows
from fastconv._shapes import check_activation, check_wrt, conv2d_shapes, image_shape
from fastconv._types import (
    Activation,
    Conv2DGradients,
    DataFormat,
    FloatArray,
    IntArray,
    IntOrPair,
    Padding,
)
from fastconv.reference._layout import activate, finish, from_nhwc, nhwc
from fastconv.reference.convolution import bias_or_zeros, correlate, gradients
from fastconv.reference.pooling import maxima, scatter


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


@np.errstate(invalid="ignore", over="ignore")
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

    The pooling is "valid". The codes of `argmax` number the cells of the convolution's result;
    as the activation comes first, a window without a positive value has its maximum 0 in its
    first cell.

    Args, Raises: as `conv2d` and `max_pool2d`.

    Returns:
        `(N, pooled_height, pooled_width, filters)` or channels second, and with `return_argmax`
        the int64 codes of the maxima.
    """
    operation = "conv2d_max_pool2d"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    shapes = conv2d_shapes(
        operation,
        x.shape,
        kernel.shape,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        groups=groups,
        data_format=data_format,
    )
    windows = pool_windows(
        operation,
        shapes.windows.output_size,
        pool_size,
        strides=pool_strides,
        strides_argument="pool_strides",
    )
    b = bias_or_zeros(operation, bias, shapes.filters, x.dtype)
    y = activate(operation, correlate(nhwc(x, data_format), kernel, shapes) + b, activation)
    # Rounded before the comparison, as `conv2d` does: rounding can make cells equal.
    best, argmax = maxima(y.astype(x.dtype), windows)
    pooled = finish(operation, from_nhwc(best, data_format), x.dtype, out, (x, kernel, b))
    return (pooled, from_nhwc(argmax, data_format)) if return_argmax else pooled


@np.errstate(invalid="ignore", over="ignore")
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
        wrt, out: as in `conv2d_gradients`.

    Returns:
        `Conv2DGradients(x, kernel, bias)`, None where not asked for.

    Raises:
        ValueError, TypeError: as the operations named.
    """
    operation = "conv2d_max_pool2d_gradients"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    grad = float_array(operation, "grad", grad, rank=4, dtype=x.dtype)
    y = float_array(operation, "y", y, rank=4, dtype=x.dtype)
    check_activation(operation, activation)
    shapes = conv2d_shapes(
        operation,
        x.shape,
        kernel.shape,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        groups=groups,
        data_format=data_format,
    )
    height, width = shapes.windows.output_size
    pooled = pool_windows(
        operation,
        (height, width),
        pool_size,
        strides=pool_strides,
        strides_argument="pool_strides",
    )
    shape = image_shape(shapes.batch, pooled.output_size, shapes.filters, data_format)
    check_shape(operation, "grad", grad.shape, shape)
    check_shape(operation, "y", y.shape, shape)
    codes = argmax_array(operation, argmax, shape)
    check_argmax_range(operation, codes, height * width * shapes.filters)
    passed = np.where(y > 0, grad, 0) if activation == "relu" else grad
    dy = scatter(
        nhwc(passed, data_format),
        nhwc(codes, data_format),
        (shapes.batch, height, width, shapes.filters),
    )
    names, inputs = check_wrt(operation, wrt), (x, kernel, grad, codes, y)
    return gradients(operation, x, kernel, dy, shapes, data_format, names, out, inputs)
