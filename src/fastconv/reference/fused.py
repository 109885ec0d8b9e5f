"""The fused convolution and pooling, spelt out as the operations that they equal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from fastconv._arrays import check_shape, float_array
from fastconv._shapes import check_activation, conv2d_shapes, image_shape, pool_windows
from fastconv._types import (
    Activation,
    Conv2DGradients,
    DataFormat,
    FloatArray,
    IntArray,
    IntOrPair,
    Padding,
)
from fastconv.reference.convolution import conv2d, conv2d_gradients
from fastconv.reference.pooling import max_pool2d, max_pool2d_gradient


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

    The pooling is "valid". The codes of `argmax` number the cells of the convolution's result;
    as the activation comes first, a window without a positive value has its maximum 0 in its
    first cell.

    Args, Raises: as `conv2d` and `max_pool2d`.

    Returns:
        `(N, pooled_height, pooled_width, filters)` or channels second, and with `return_argmax`
        the int64 codes of the maxima.
    """
    y = conv2d(
        x,
        kernel,
        bias,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        groups=groups,
        activation=activation,
        data_format=data_format,
    )
    pooled, argmax = max_pool2d(
        y,
        pool_size,
        strides=pool_strides,
        return_argmax=True,
        data_format=data_format,
        out=out,
    )
    return (pooled, argmax) if return_argmax else pooled


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
    conv_size = shapes.windows.output_size
    pooled_size = pool_windows(operation, conv_size, pool_size, strides=pool_strides).output_size
    pooled_shape = image_shape(shapes.batch, pooled_size, shapes.filters, data_format)
    check_shape(operation, "grad", grad.shape, pooled_shape)
    check_shape(operation, "y", y.shape, pooled_shape)
    passed = np.where(y > 0, grad, 0).astype(grad.dtype) if activation == "relu" else grad
    conv_shape = image_shape(shapes.batch, conv_size, shapes.filters, data_format)
    conv_grad = max_pool2d_gradient(passed, argmax, conv_shape, data_format=data_format)
    return conv2d_gradients(
        x,
        kernel,
        conv_grad,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        groups=groups,
        data_format=data_format,
        wrt=wrt,
        out=out,
    )
