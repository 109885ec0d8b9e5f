"""What the convolutions share: windows, bias, activation, and channels that stay as built."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import activations, initializers, regularizers
from fastconv._errors import value_error
from fastconv._shapes import Windows, conv_windows, normalize_pair, window_extent
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
    from fastconv.regularizers import Regularizer


class BaseConvolution(Layer):
    """Base of the convolutions; a subclass has the kernels and the arithmetic.

    Args:
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.
    """

    min_ndim = max_ndim = 4
    groups = 1
    bias: Variable | None

    def __init__(
        self,
        *,
        kernel_size: IntOrPair,
        strides: IntOrPair,
        padding: str,
        data_format: str | None,
        dilation_rate: IntOrPair,
        activation: str | Callable[..., object] | None,
        use_bias: bool,
        bias_initializer: str | Callable[..., Any],
        bias_regularizer: str | Regularizer | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        operation = type(self).__name__
        self.kernel_size: Pair = normalize_pair(operation, "kernel_size", kernel_size)
        self.strides: Pair = normalize_pair(operation, "strides", strides)
        self.padding = normalize_padding_name(operation, padding)
        self.data_format = normalize_data_format(operation, data_format)
        self.dilation_rate: Pair = normalize_pair(operation, "dilation_rate", dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            rule = "and dilation_rate must not both be above 1"
            received = f"strides {self.strides} and dilation_rate {self.dilation_rate}"
            raise value_error(operation, "strides", rule, "one of them (1, 1)", received)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.input_axes = IMAGE_AXES[self.data_format]
        self._channels: int | None = None

    def output_channels(self, channels: int) -> int:
        """Channels of the result for inputs of `channels`."""
        raise NotImplementedError

    def add_kernels(self, channels: int) -> None:
        """Create the kernels for inputs of `channels`."""
        raise NotImplementedError

    def build(self, input_shape: Shape) -> None:
        channels = split_image_shape(input_shape, self.data_format)[1]
        if channels is None:
            raise self._wrong_channels("a known number", input_shape)
        self.compute_output_shape(input_shape)
        self.add_kernels(channels)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.output_channels(channels),),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                name="bias",
            )
        self._channels = channels

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        size, channels = split_image_shape(input_shape, self.data_format)
        if self._channels not in (None, channels):
            raise self._wrong_channels(self._channels, input_shape)
        if channels is not None and channels % self.groups:
            raise self._wrong_channels(f"a multiple of groups={self.groups}", input_shape)
        filters = None if channels is None else self.output_channels(channels)
        return join_image_shape(input_shape[0], self.output_size(size), filters, self.data_format)

    def output_size(self, size: Shape) -> Shape:
        """(height, width) of the result for images of `size`, None where that is."""
        return windowed_size(size, self._extent(), self._windows)

    def _wrong_channels(self, expected: object, input_shape: Shape) -> ValueError:
        rule = "has the wrong channels"
        return value_error(self._title, "the input", rule, expected, f"shape {input_shape}")

    def _extent(self) -> Pair:
        (height, width), (down, across) = self.kernel_size, self.dilation_rate
        return window_extent(height, down), window_extent(width, across)

    def _windows(self, size: Pair) -> Windows:
        padding = self.padding
        return conv_windows(self._title, size, self.kernel_size, padding=padding, **self._steps())

    def _steps(self) -> dict[str, Any]:
        return {"strides": self.strides, "dilation_rate": self.dilation_rate}

    def _arguments(self) -> dict[str, Any]:
        """What every operation of this layer is given."""
        return {"padding": self.padding, "data_format": self.data_format, **self._steps()}

    def _bias_value(self) -> FloatArray | None:
        return None if self.bias is None else self.bias.value


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
