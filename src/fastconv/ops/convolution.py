"""Convolution, its gradients, and transposed convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv import _core
from fastconv._arrays import bias_array, check_shape, float_array
from fastconv._shapes import (
    Conv2DShapes,
    check_activation,
    check_kernel_shape,
    check_wrt,
    conv_transpose_windows,
    image_shape,
    nhwc_shape,
)
from fastconv._types import Conv2DGradients
from fastconv.ops._geometry import conv2d_plan, conv_geometry
from fastconv.ops._memory import (
    channels_last,
    channels_last_buffer,
    core_threads,
    gradient_results,
    is_planar,
    packed,
    result,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from fastconv._types import (
        Activation,
        DataFormat,
        FloatArray,
        IntOrPair,
        Padding,
    )


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
        strides, dilation_rate: int >= 1 or (vertical, horizontal); both may be above 1.
        padding: "valid", "same", an int, `(ph, pw)` or `((top, bottom), (left, right))`.
        groups: `groups == C` is a depthwise convolution.
        activation: None, "linear" or "relu", applied to the result.
        out: array to fill, of the result's shape and dtype, C-contiguous, apart from the inputs.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        `(N, out_height, out_width, filters)`, or with the filters second, in the dtype of `x`.

    Raises:
        ValueError: shapes that do not fit, an output size below 1, an unknown name, a bad `out`.
        TypeError: a dtype other than float32 and float64, dtypes that differ, not an array.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    >>> conv2d(image, np.ones((2, 2, 1, 1), np.float32))[0, :, :, 0].tolist()
    [[8.0, 12.0], [20.0, 24.0]]
    """
    done = _core.plain_conv2d(
        x,
        kernel,
        bias,
        strides,
        padding,
        dilation_rate,
        groups,
        activation,
        data_format,
        out,
        num_threads,
    )
    if done is not None:
        return done
    operation = "conv2d"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    plan = conv2d_plan(
        operation, x.shape, kernel.shape, strides, padding, dilation_rate, groups, data_format
    )
    bias = bias_array(operation, bias, plan.filters, x.dtype)
    inputs = (x, kernel) if bias is None else (x, kernel, bias)
    check_activation(operation, activation)
    threads = core_threads(operation, num_threads)
    y = result(operation, out, plan.result_shape, x.dtype, inputs)
    planar = is_planar(data_format, x)
    to_convert = "channels_last" if planar else data_format
    buffer = channels_last_buffer(operation, y, to_convert)
    _core.conv2d(
        channels_last(operation, x, to_convert, threads),
        packed(operation, kernel),
        None if bias is None else packed(operation, bias),
        buffer,
        plan.geometry,
        activation == "relu",
        threads,
        planar,
    )
    store(buffer, y, to_convert, threads)
    return y


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

    In formulas::

        dx[n, oh * s - p + i * d, ow * s - p + j * d, c] += grad[n, oh, ow, f] * kernel[i, j, c, f]
        dkernel[i, j, c, f] = sum over n, oh, ow of x[n, ...same cell..., c] * grad[n, oh, ow, f]
        dbias[f] = sum over n, oh, ow of grad[n, oh, ow, f]

    Args:
        x, kernel, strides, padding, dilation_rate, groups, data_format: as given to `conv2d`.
        grad: gradient of the result of `conv2d`, in its shape and dtype. After a fused activation
            it is the gradient before the activation: see `relu_gradient`.
        wrt: names of the gradients to compute, some of "x", "kernel", "bias".
        out: arrays to fill, None where one is to be allocated.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        `Conv2DGradients(x, kernel, bias)`, None where not asked for.

    Raises:
        ValueError, TypeError, MemoryError: as `conv2d`, and for a `grad` of another shape.

    >>> import numpy as np
    >>> x, kernel = np.float32([1, 2, 3]).reshape(1, 1, 3, 1), np.ones((1, 2, 1, 1), np.float32)
    >>> gradients = conv2d_gradients(x, kernel, np.ones((1, 1, 2, 1), np.float32))
    >>> [gradient.ravel().tolist() for gradient in gradients]
    [[1.0, 2.0, 1.0], [3.0, 5.0], [2.0]]
    """
    done = _core.plain_conv2d_gradients(
        x,
        kernel,
        grad,
        strides,
        padding,
        dilation_rate,
        groups,
        data_format,
        wrt,
        out,
        num_threads,
    )
    if done is not None:
        return Conv2DGradients(*done)
    operation = "conv2d_gradients"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    grad = float_array(operation, "grad", grad, rank=4, dtype=x.dtype)
    names = check_wrt(operation, wrt)
    plan = conv2d_plan(
        operation, x.shape, kernel.shape, strides, padding, dilation_rate, groups, data_format
    )
    check_shape(operation, "grad", grad.shape, plan.result_shape)
    threads = core_threads(operation, num_threads)
    sizes = (x.shape, kernel.shape, (plan.filters,))
    gradients = gradient_results(operation, out, names, sizes, x.dtype, (x, kernel, grad))
    geometry = plan.geometry
    planar = is_planar(data_format, x, grad)
    to_convert = "channels_last" if planar else data_format
    dy = channels_last(operation, grad, to_convert, threads)
    if gradients.x is not None:
        dx = channels_last_buffer(operation, gradients.x, to_convert)
        weights = packed(operation, kernel)
        _core.conv2d_input_gradient(dy, weights, None, dx, geometry, False, threads, planar)
        store(dx, gradients.x, to_convert, threads)
    if gradients.kernel is not None:
        images = channels_last(operation, x, to_convert, threads)
        _core.conv2d_kernel_gradient(images, dy, gradients.kernel, geometry, threads, planar)
    if gradients.bias is not None:
        rows = channels_last(operation, grad, data_format, threads) if planar else dy
        _core.bias_gradient(rows, gradients.bias, threads)
    return gradients


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

    In a formula::

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
        ValueError, TypeError, MemoryError: as `conv2d`.

    >>> import numpy as np
    >>> x = np.float32([1, 2]).reshape(1, 1, 2, 1)
    >>> conv2d_transpose(x, np.ones((1, 2, 1, 1), np.float32), strides=(1, 2)).ravel().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    operation = "conv2d_transpose"
    x = float_array(operation, "x", x, rank=4)
    kernel = float_array(operation, "kernel", kernel, rank=4, dtype=x.dtype)
    batch, height, width, channels = nhwc_shape(operation, "x", x.shape, data_format)
    check_kernel_shape(operation, kernel.shape, f"(kh, kw, out_channels, {channels})")
    check_shape(operation, "kernel", kernel.shape, (*kernel.shape[:3], channels))
    windows = conv_transpose_windows(
        operation,
        (height, width),
        (kernel.shape[0], kernel.shape[1]),
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        dilation_rate=dilation_rate,
    )
    shapes = Conv2DShapes(batch, kernel.shape[2], channels, 1, windows)
    bias = bias_array(operation, bias, shapes.in_channels, x.dtype)
    inputs = (x, kernel) if bias is None else (x, kernel, bias)
    check_activation(operation, activation)
    threads = core_threads(operation, num_threads)
    shape = image_shape(batch, windows.input_size, shapes.in_channels, data_format)
    y = result(operation, out, shape, x.dtype, inputs)
    planar = is_planar(data_format, x)
    to_convert = "channels_last" if planar else data_format
    buffer = channels_last_buffer(operation, y, to_convert)
    _core.conv2d_input_gradient(
        channels_last(operation, x, to_convert, threads),
        packed(operation, kernel),
        None if bias is None else packed(operation, bias),
        buffer,
        conv_geometry(shapes),
        activation == "relu",
        threads,
        planar,
    )
    store(buffer, y, to_convert, threads)
    return y
