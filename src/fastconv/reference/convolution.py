"""Convolution, its gradients, and transposed convolution, one matrix product per kernel tap."""

# ruff: noqa: ARG001 - num_threads is there to have the signatures of fastconv.ops.
from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fastconv._arrays import bias_array, check_shape, float_array
from fastconv._shapes import (
    Conv2DShapes,
    Windows,
    check_kernel_shape,
    check_wrt,
    conv2d_shapes,
    conv_transpose_windows,
    image_shape,
    nhwc_shape,
)
from fastconv._types import (
    Activation,
    Conv2DGradients,
    DataFormat,
    FloatArray,
    IntOrPair,
    Padding,
)
from fastconv.reference._layout import (
    Float64Array,
    activate,
    crop,
    finish,
    from_nhwc,
    nhwc,
    pad,
    taps,
)


@np.errstate(invalid="ignore", over="ignore")
def conv2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    groups: int = 1,
    activation: Activation = None,
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """2-D convolution (cross-correlation: the kernel is not flipped).

    With `p` the padding before, `s` the strides, `d` the dilation and zeros around the image::

        y[n, oh, ow, f] = bias[f] + sum over i, j, c of
            x[n, oh * s - p + i * d, ow * s - p + j * d, g * C/groups + c] * kernel[i, j, c, f]

    where `g = f // (filters / groups)` is the group of filter `f`. Output size: "valid"
    `floor((in - d(k-1) - 1) / s) + 1`; "same" `ceil(in / s)`, the odd padding cell at the end.

    Args:
        x: `(N, H, W, C)`, or `(N, C, H, W)` with `data_format="channels_first"`; float32 or
            float64.
        kernel: `(kernel_height, kernel_width, C / groups, filters)` in either data format.
        bias: `(filters,)`.
        strides, dilation_rate: int >= 1 or (vertical, horizontal).
        padding: "valid", "same", an int, `(ph, pw)` or `((top, bottom), (left, right))`.
        groups: `groups == C` is a depthwise convolution.
        activation: None, "linear" or "relu", applied to the result.
        out: array to fill, of the result's shape and dtype.
        num_threads: ignored; here so that the signature equals that of `fastconv.ops`.

    Returns:
        `(N, out_height, out_width, filters)`, or with the filters second, in the dtype of `x`.
        Sums are taken in float64 and rounded once.

    Raises:
        ValueError: shapes that do not fit, an output size below 1, an unknown name.
        TypeError: a dtype other than float32 and float64, or dtypes that differ.

    >>> import numpy as np
    >>> image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    >>> conv2d(image, np.ones((2, 2, 1, 1), np.float32))[0, :, :, 0].tolist()
    [[8.0, 12.0], [20.0, 24.0]]
    """
    x = float_array("conv2d", "x", x, rank=4)
    kernel = float_array("conv2d", "kernel", kernel, rank=4, dtype=x.dtype)
    shapes = conv2d_shapes(
        "conv2d",
        x.shape,
        kernel.shape,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        groups=groups,
        data_format=data_format,
    )
    b = bias_or_zeros("conv2d", bias, shapes.filters, x.dtype)
    y = activate("conv2d", correlate(nhwc(x, data_format), kernel, shapes) + b, activation)
    return finish("conv2d", from_nhwc(y, data_format), x.dtype, out, (x, kernel, b))


@np.errstate(invalid="ignore", over="ignore")
def conv2d_gradients(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    grad: npt.ArrayLike,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    groups: int = 1,
    data_format: DataFormat = "channels_last",
    wrt: Iterable[str] = ("x", "kernel", "bias"),
    out: Conv2DGradients | None = None,
    num_threads: int | None = None,
) -> Conv2DGradients:
    """Gradients of `sum(grad * conv2d(x, kernel, bias))`, the adjoints of `conv2d`.

    With the names of `conv2d`::

        dx[n, oh * s - p + i * d, ow * s - p + j * d, c] += grad[n, oh, ow, f] * kernel[i, j, c, f]
        dkernel[i, j, c, f] = sum over n, oh, ow of x[n, ...same cell..., c] * grad[n, oh, ow, f]
        dbias[f] = sum over n, oh, ow of grad[n, oh, ow, f]

    Args:
        x, kernel, strides, padding, dilation_rate, groups, data_format: as in `conv2d`.
        grad: gradient of the result of `conv2d`, in its shape and dtype.
        wrt: names of the gradients to compute, some of "x", "kernel", "bias".
        out: arrays to fill, None where one is to be allocated.
        num_threads: ignored.

    Returns:
        `Conv2DGradients(x, kernel, bias)`, None where not asked for.

    Raises:
        ValueError, TypeError: as `conv2d`, and for a `grad` of another shape.
    """
    operation = "conv2d_gradients"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    grad = float_array(operation, "grad", grad, rank=4, dtype=x.dtype)
    names = check_wrt(operation, wrt)
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
    expected = image_shape(shapes.batch, shapes.windows.output_size, shapes.filters, data_format)
    check_shape(operation, "grad", grad.shape, expected)
    dy = nhwc(grad, data_format).astype(np.float64)
    return gradients(operation, x, kernel, dy, shapes, data_format, names, out, (x, kernel, grad))


@np.errstate(invalid="ignore", over="ignore")
def conv2d_transpose(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    output_padding: IntOrPair | None = None,
    dilation_rate: IntOrPair = 1,
    activation: Activation = None,
    data_format: DataFormat = "channels_last",
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """Transposed 2-D convolution: the input gradient of a `conv2d` from the result to `x`.

    With the names of `conv2d`::

        y[n, h * s - p + i * d, w * s - p + j * d, f] += x[n, h, w, c] * kernel[i, j, f, c]

    plus `bias[f]`. Output size along an axis, with `e = d(k-1) + 1`: "valid"
    `(in-1)s + max(e, s)`, "same" `in * s`; with `output_padding` "valid"
    `(in-1)s + e + output_padding`, "same" `(in-1)s + e % 2 + output_padding`, as Keras 3; explicit
    padding `(in-1)s + e - before - after + output_padding`, as PyTorch.

    Args:
        x: `(N, H, W, in_channels)`, or `(N, in_channels, H, W)`; float32 or float64.
        kernel: `(kernel_height, kernel_width, out_channels, in_channels)`.
        bias: `(out_channels,)`.
        output_padding: None, or int or pair with 0 <= output_padding < strides.
        strides, padding, dilation_rate, activation, data_format, out, num_threads: as `conv2d`.

    Returns:
        `(N, out_height, out_width, out_channels)`, or with the channels second.

    Raises:
        ValueError, TypeError: as `conv2d`.
    """
    operation = "conv2d_transpose"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    batch, height, width, channels = nhwc_shape(operation, "x", x.shape, data_format)
    layout = f"(kh, kw, out_channels, {channels})"
    check_kernel_shape(operation, kernel.shape, layout)
    check_shape(operation, "kernel", kernel.shape, (*kernel.shape[:3], channels))
    windows: Windows = conv_transpose_windows(
        operation,
        (height, width),
        (kernel.shape[0], kernel.shape[1]),
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        dilation_rate=dilation_rate,
    )
    shapes = Conv2DShapes(batch, kernel.shape[2], channels, 1, windows)
    b = bias_or_zeros(operation, bias, kernel.shape[2], x.dtype)
    y = _input_gradient(nhwc(x, data_format).astype(np.float64), kernel, shapes)
    y = activate(operation, y + b, activation)
    return finish(operation, from_nhwc(y, data_format), x.dtype, out, (x, kernel, b))


def gradients(
    operation: str,
    x: FloatArray,
    kernel: FloatArray,
    dy: Float64Array,
    shapes: Conv2DShapes,
    data_format: str,
    names: tuple[str, ...],
    out: Conv2DGradients | None,
    inputs: tuple[npt.NDArray[np.generic], ...],
) -> Conv2DGradients:
    """`conv2d_gradients` after its checks; `dy` is the gradient in NHWC."""
    given = out if out is not None else Conv2DGradients(None, None, None)
    dx = dkernel = dbias = None
    if "x" in names:
        image = from_nhwc(_input_gradient(dy, kernel, shapes), data_format)
        dx = finish(operation, image, x.dtype, given.x, inputs, argument="out.x")
        inputs += (dx,)
    if "kernel" in names:
        weights = _kernel_gradient(nhwc(x, data_format), dy, kernel.shape, shapes)
        dkernel = finish(operation, weights, x.dtype, given.kernel, inputs, argument="out.kernel")
        inputs += (dkernel,)
    if "bias" in names:
        sums = dy.sum(axis=(0, 1, 2))
        dbias = finish(operation, sums, x.dtype, given.bias, inputs, argument="out.bias")
    return Conv2DGradients(dx, dkernel, dbias)


def bias_or_zeros(
    operation: str, bias: npt.ArrayLike | None, size: int, dtype: np.dtype[np.floating]
) -> FloatArray:
    """The checked bias `(size,)`, zeros for None."""
    array = bias_array(operation, bias, size, dtype)
    return np.zeros(size, dtype) if array is None else array


def correlate(
    x: npt.NDArray[np.generic], kernel: npt.NDArray[np.generic], shapes: Conv2DShapes
) -> Float64Array:
    """The sums of `conv2d` without bias, in NHWC."""
    padded = pad(x, shapes.windows.padding, 0.0)
    y = np.zeros((shapes.batch, *shapes.windows.output_size, shapes.filters))
    for i, j, cells in taps(shapes.windows):
        product = _by_group(padded[cells], shapes.groups) @ _by_group(kernel[i, j], shapes.groups)
        y += _joined(product).reshape(y.shape)
    return y


def _input_gradient(
    dy: Float64Array, kernel: npt.NDArray[np.generic], shapes: Conv2DShapes
) -> Float64Array:
    padded = pad(
        np.zeros((shapes.batch, *shapes.windows.input_size, shapes.in_channels)),
        shapes.windows.padding,
        0.0,
    )
    for i, j, cells in taps(shapes.windows):
        weights = _by_group(kernel[i, j], shapes.groups)
        product = _by_group(dy, shapes.groups) @ weights.transpose(0, 2, 1)
        padded[cells] += _joined(product).reshape(padded[cells].shape)
    return crop(padded, shapes.windows)


def _kernel_gradient(
    x: npt.NDArray[np.generic],
    dy: Float64Array,
    kernel_shape: tuple[int, ...],
    shapes: Conv2DShapes,
) -> Float64Array:
    padded = pad(x, shapes.windows.padding, 0.0)
    dkernel = np.empty(kernel_shape)
    for i, j, cells in taps(shapes.windows):
        patch = _by_group(padded[cells], shapes.groups)
        dkernel[i, j] = _joined(patch.transpose(0, 2, 1) @ _by_group(dy, shapes.groups))
    return dkernel


def _by_group(array: npt.NDArray[np.generic], groups: int) -> Float64Array:
    """(..., channels) as one matrix per group: (groups, rows, channels / groups)."""
    channels = array.shape[-1]
    rows = array.size // channels
    matrices = array.astype(np.float64).reshape(rows, groups, channels // groups)
    return matrices.transpose(1, 0, 2)


def _joined(matrices: Float64Array) -> Float64Array:
    """The inverse of `_by_group`: (rows, channels)."""
    groups, rows, channels = matrices.shape
    return matrices.transpose(1, 0, 2).reshape(rows, groups * channels)
