"""Convolution of every channel on its own, then of all channels at each place."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import initializers, ops, regularizers
from fastconv._shapes import normalize_int
from fastconv.layers.base_convolution import BaseConvolution, conv2d_gradients_wanted
from fastconv.layers.depthwise import depthwise_conv2d, depthwise_conv2d_gradients

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray, IntOrPair
    from fastconv.layers.layer import LayerOptions
    from fastconv.layers.variable import Variable
    from fastconv.regularizers import Regularizer


class SeparableConv2D(BaseConvolution):
    """A depthwise convolution, then one with 1x1 kernels, with bias and activation.

    Input `(N, H, W, C)`, result `(N, out_height, out_width, filters)`; with
    `data_format="channels_first"` the channels come second in both. Weights: `depthwise_kernel`
    `(kernel_height, kernel_width, C, depth_multiplier)`, `pointwise_kernel`
    `(1, 1, C * depth_multiplier, filters)` and `bias` `(filters,)`.

    Args:
        filters: number of output channels.
        kernel_size, strides, dilation_rate: of the depthwise part, int or (vertical, horizontal).
        padding: "valid" or "same".
        data_format: None or "channels_last", or "channels_first".
        depth_multiplier: results of the depthwise part for each channel.
        activation: name, function whose name is known, or None.
        use_bias: whether there is a bias.
        depthwise_initializer, pointwise_initializer, bias_initializer: names or callables.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer: names, objects or None.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range; strides and dilation_rate both above 1.

    >>> SeparableConv2D(16, 3).compute_output_shape((None, 28, 28, 8))
    (None, 26, 26, 16)
    """

    depthwise_kernel: Variable
    pointwise_kernel: Variable

    def __init__(
        self,
        filters: int,
        kernel_size: IntOrPair,
        strides: IntOrPair = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: IntOrPair = (1, 1),
        depth_multiplier: int = 1,
        activation: str | Callable[..., object] | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | Callable[..., Any] = "glorot_uniform",
        pointwise_initializer: str | Callable[..., Any] = "glorot_uniform",
        bias_initializer: str | Callable[..., Any] = "zeros",
        depthwise_regularizer: str | Regularizer | None = None,
        pointwise_regularizer: str | Regularizer | None = None,
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
        operation = "SeparableConv2D"
        self.filters = normalize_int(operation, "filters", filters)
        self.depth_multiplier = normalize_int(operation, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)

    def output_channels(self, channels: int) -> int:
        return self.filters

    def add_kernels(self, channels: int) -> None:
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            name="depthwise_kernel",
        )
        self.pointwise_kernel = self.add_weight(
            (1, 1, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            name="pointwise_kernel",
        )

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        between = depthwise_conv2d(x, self.depthwise_kernel, None, **self._arguments())
        y = ops.conv2d(
            between,
            self.pointwise_kernel.value,
            self._bias_value(),
            activation=self.activation.in_op,
            data_format=self.data_format,
        )
        y, kept = self.activation.complete(y)
        return y, (x, between, kept)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        x, between, kept = saved
        grad = self.activation.gradient(grad, kept)
        below = need_input_gradient or self.depthwise_kernel.gradient is not None
        wrt, out = conv2d_gradients_wanted(self.pointwise_kernel, self.bias, below)
        grad_between = ops.conv2d_gradients(
            between,
            self.pointwise_kernel.value,
            grad,
            wrt=wrt,
            out=out,
            data_format=self.data_format,
        ).x
        if grad_between is None:
            return None
        return depthwise_conv2d_gradients(
            x,
            self.depthwise_kernel,
            None,
            grad_between,
            need_input_gradient,
            **self._arguments(),
        ).x
