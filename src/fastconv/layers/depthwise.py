"""Convolution of every channel on its own."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import initializers, ops, regularizers
from fastconv._shapes import normalize_int
from fastconv.layers.base_convolution import BaseConvolution, conv2d_gradients_wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import Conv2DGradients, FloatArray, IntOrPair
    from fastconv.layers.layer import LayerOptions
    from fastconv.layers.variable import Variable
    from fastconv.regularizers import Regularizer


class DepthwiseConv2D(BaseConvolution):
    """2-D convolution of each channel with filters of its own, with bias and activation.

    Input `(N, H, W, C)`, result `(N, out_height, out_width, C * depth_multiplier)`, the results
    of a channel beside each other; with `data_format="channels_first"` the channels come second
    in both. Weights: `kernel` `(kernel_height, kernel_width, C, depth_multiplier)` and `bias`
    `(C * depth_multiplier,)`.

    Args:
        kernel_size, strides, dilation_rate: int or (vertical, horizontal).
        padding: "valid" or "same".
        depth_multiplier: filters for each channel.
        data_format: None or "channels_last", or "channels_first".
        activation: name, function whose name is known, or None.
        use_bias: whether there is a bias.
        depthwise_initializer, bias_initializer: names or callables.
        depthwise_regularizer, bias_regularizer: names, objects or None.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range; strides and dilation_rate both above 1.

    >>> DepthwiseConv2D(3, depth_multiplier=2).compute_output_shape((None, 28, 28, 8))
    (None, 26, 26, 16)
    """

    kernel: Variable

    def __init__(
        self,
        kernel_size: IntOrPair,
        strides: IntOrPair = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: IntOrPair = (1, 1),
        activation: str | Callable[..., object] | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | Callable[..., Any] = "glorot_uniform",
        bias_initializer: str | Callable[..., Any] = "zeros",
        depthwise_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            **options,
        )
        operation = "DepthwiseConv2D"
        self.depth_multiplier = normalize_int(operation, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)

    def output_channels(self, channels: int) -> int:
        return channels * self.depth_multiplier

    def add_kernels(self, channels: int) -> None:
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            name="kernel",
        )

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        y = depthwise_conv2d(
            x,
            self.kernel,
            self._bias_value(),
            activation=self.activation.in_op,
            **self._arguments(),
        )
        y, kept = self.activation.complete(y)
        return y, (x, kept)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        x, kept = saved
        grad = self.activation.gradient(grad, kept)
        return depthwise_conv2d_gradients(
            x, self.kernel, self.bias, grad, need_input_gradient, **self._arguments()
        ).x


def depthwise_conv2d(
    x: FloatArray, kernel: Variable, bias: FloatArray | None, **arguments: Any
) -> FloatArray:
    """`ops.conv2d` with a group for each channel, for a kernel `(kh, kw, C, depth_multiplier)`."""
    channels = kernel.shape[2]
    return ops.conv2d(x, _grouped(kernel.value), bias, groups=channels, **arguments)


def depthwise_conv2d_gradients(
    x: FloatArray,
    kernel: Variable,
    bias: Variable | None,
    grad: FloatArray,
    need_input_gradient: bool,
    **arguments: Any,
) -> Conv2DGradients:
    """The gradients of `depthwise_conv2d`, those of the weights in `Variable.gradient`."""
    wrt, out = conv2d_gradients_wanted(kernel, bias, need_input_gradient)
    if out.kernel is not None:
        out = out._replace(kernel=_grouped(out.kernel))
    channels = kernel.shape[2]
    return ops.conv2d_gradients(
        x, _grouped(kernel.value), grad, groups=channels, wrt=wrt, out=out, **arguments
    )


def _grouped(kernel: FloatArray) -> FloatArray:
    """The same memory as `(kh, kw, 1, C * depth_multiplier)`."""
    height, width, channels, multiplier = kernel.shape
    return kernel.reshape(height, width, 1, channels * multiplier)
