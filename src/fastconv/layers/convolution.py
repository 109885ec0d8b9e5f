"""Convolution."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import initializers, ops, regularizers
from fastconv._errors import value_error
from fastconv._shapes import normalize_int
from fastconv.layers.base_convolution import BaseConvolution, conv2d_gradients_wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray, IntOrPair
    from fastconv.layers.layer import LayerOptions
    from fastconv.layers.variable import Variable
    from fastconv.regularizers import Regularizer


class Conv2D(BaseConvolution):
    """2-D convolution (cross-correlation) with bias and activation.

    Input `(N, H, W, C)`, result `(N, out_height, out_width, filters)`; with
    `data_format="channels_first"` the channels come second in both. Weights: `kernel`
    `(kernel_height, kernel_width, C / groups, filters)` and `bias` `(filters,)`.

    Args:
        filters: number of output channels.
        kernel_size, strides, dilation_rate: int or (vertical, horizontal).
        padding: "valid" or "same".
        data_format: None or "channels_last", or "channels_first".
        groups: divides C and filters; each group of channels has its own filters.
        activation: name, function whose name is known, or None.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: names or callables.
        kernel_regularizer, bias_regularizer: names, objects or None.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range; strides and dilation_rate both above 1.

    >>> Conv2D(16, 3).compute_output_shape((None, 28, 28, 1))
    (None, 26, 26, 16)
    """

    kernel: Variable

    def __init__(
        self,
        filters: int,
        kernel_size: IntOrPair,
        strides: IntOrPair = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: IntOrPair = (1, 1),
        groups: int = 1,
        activation: str | Callable[..., object] | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "glorot_uniform",
        bias_initializer: str | Callable[..., Any] = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
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
        self.filters = normalize_int("Conv2D", "filters", filters)
        self.groups = normalize_int("Conv2D", "groups", groups)
        if self.filters % self.groups:
            rule, expected = "must be a multiple of groups", f"a multiple of {self.groups}"
            raise value_error("Conv2D", "filters", rule, expected, self.filters)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def output_channels(self, channels: int) -> int:
        return self.filters

    def add_kernels(self, channels: int) -> None:
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        y = ops.conv2d(
            x,
            self.kernel.value,
            self._bias_value(),
            groups=self.groups,
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
        wrt, out = conv2d_gradients_wanted(self.kernel, self.bias, need_input_gradient)
        return ops.conv2d_gradients(
            x,
            self.kernel.value,
            grad,
            groups=self.groups,
            wrt=wrt,
            out=out,
            **self._arguments(),
        ).x
