"""Convolutions."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import activations, initializers, ops
from fastconv._errors import value_error
from fastconv._shapes import (
    Windows,
    conv_windows,
    normalize_int,
    normalize_pair,
    window_extent,
)
from fastconv._types import Conv2DGradients, FloatArray, IntOrPair, Pair
from fastconv.layers.arguments import (
    IMAGE_AXES,
    join_image_shape,
    normalize_data_format,
    normalize_padding_name,
    split_image_shape,
    windowed_size,
)
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv.layers.symbolic import Shape
    from fastconv.layers.variable import Variable


class Conv2D(Layer):
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
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range; strides and dilation_rate both above 1.

    >>> Conv2D(16, 3).compute_output_shape((None, 28, 28, 1))
    (None, 26, 26, 16)
    """

    min_ndim = max_ndim = 4
    kernel: Variable
    bias: Variable | None

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
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.filters = normalize_int("Conv2D", "filters", filters)
        self.kernel_size: Pair = normalize_pair("Conv2D", "kernel_size", kernel_size)
        self.strides: Pair = normalize_pair("Conv2D", "strides", strides)
        self.padding = normalize_padding_name("Conv2D", padding)
        self.data_format = normalize_data_format("Conv2D", data_format)
        self.dilation_rate: Pair = normalize_pair("Conv2D", "dilation_rate", dilation_rate)
        self.groups = normalize_int("Conv2D", "groups", groups)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            rule = "and dilation_rate must not both be above 1"
            received = f"strides {self.strides} and dilation_rate {self.dilation_rate}"
            raise value_error("Conv2D", "strides", rule, "one of them (1, 1)", received)
        if self.filters % self.groups:
            rule, expected = "must be a multiple of groups", f"a multiple of {self.groups}"
            raise value_error("Conv2D", "filters", rule, expected, self.filters)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.input_axes = IMAGE_AXES[self.data_format]

    def build(self, input_shape: Shape) -> None:
        channels = split_image_shape(input_shape, self.data_format)[1]
        if channels is None or channels % self.groups:
            rule, expected = "has the wrong channels", f"a multiple of groups={self.groups}"
            raise value_error(self._title, "the input", rule, expected, f"shape {input_shape}")
        self.compute_output_shape(input_shape)
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight(shape, self.kernel_initializer, name="kernel")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight((self.filters,), self.bias_initializer, name="bias")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        size, channels = split_image_shape(input_shape, self.data_format)
        if self.built and channels != self.kernel.shape[2] * self.groups:
            rule, expected = "has the wrong channels", self.kernel.shape[2] * self.groups
            raise value_error(self._title, "the input", rule, expected, f"shape {input_shape}")
        out = windowed_size(size, self._extent(), self._windows)
        return join_image_shape(input_shape[0], out, self.filters, self.data_format)

    def _extent(self) -> Pair:
        (height, width), (down, across) = self.kernel_size, self.dilation_rate
        return window_extent(height, down), window_extent(width, across)

    def _windows(self, size: Pair) -> Windows:
        return conv_windows(
            self._title,
            size,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        activation = self.activation
        y = ops.conv2d(
            x,
            self.kernel.value,
            None if self.bias is None else self.bias.value,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            activation="relu" if activation is activations.relu else None,
            data_format=self.data_format,
        )
        if not activation.fused:
            activation(y, out=y)
        return y, (x, y)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        x, y = saved
        grad = self.activation.gradient(grad, y)
        wrt, out = conv2d_gradients_wanted(self.kernel, self.bias, need_input_gradient)
        return ops.conv2d_gradients(
            x,
            self.kernel.value,
            grad,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            data_format=self.data_format,
            wrt=wrt,
            out=out,
        ).x


def conv2d_gradients_wanted(
    kernel: Variable, bias: Variable | None, need_input_gradient: bool
) -> tuple[tuple[str, ...], Conv2DGradients]:
    """`wrt` and `out` for the gradient operations: what trains, and where it goes."""
    kernel_gradient = kernel.gradient
    bias_gradient = None if bias is None else bias.gradient
    wrt: tuple[str, ...] = ("x",) if need_input_gradient else ()
    if kernel_gradient is not None:
        wrt += ("kernel",)
    if bias_gradient is not None:
        wrt += ("bias",)
    return wrt, Conv2DGradients(None, kernel_gradient, bias_gradient)
