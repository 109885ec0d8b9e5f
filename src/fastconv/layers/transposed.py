"""Transposed convolution."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import initializers, ops, regularizers
from fastconv._errors import value_error
from fastconv._shapes import Windows, conv_transpose_windows, normalize_int, normalize_pair
from fastconv._types import Conv2DGradients
from fastconv.layers.arguments import CHANNEL_AXES, split_image_shape
from fastconv.layers.base_convolution import BaseConvolution
from fastconv.layers.channel_sums import channel_sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray, IntOrPair, Pair
    from fastconv.layers.layer import LayerOptions
    from fastconv.layers.symbolic import Shape
    from fastconv.layers.variable import Variable
    from fastconv.regularizers import Regularizer


class Conv2DTranspose(BaseConvolution):
    """Transposed 2-D convolution (the input gradient of a convolution), bias and activation.

    Input `(N, H, W, C)`, result `(N, out_height, out_width, filters)`; with
    `data_format="channels_first"` the channels come second in both. Output size along an axis,
    with e = dilation_rate * (kernel_size - 1) + 1: "valid" `(in - 1) * stride + max(e, stride)`,
    "same" `in * stride`; see `ops.conv2d_transpose` for `output_padding`. Weights: `kernel`
    `(kernel_height, kernel_width, filters, C)` and `bias` `(filters,)`.

    Args:
        filters: number of output channels.
        kernel_size, strides, dilation_rate: int or (vertical, horizontal).
        padding: "valid" or "same".
        output_padding: None, or int or pair with 0 <= output_padding < strides.
        data_format: None or "channels_last", or "channels_first".
        activation: name, function whose name is known, or None.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: names or callables.
        kernel_regularizer, bias_regularizer: names, objects or None.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range; strides and dilation_rate both above 1.

    >>> Conv2DTranspose(16, 3, 2).compute_output_shape((None, 14, 14, 8))
    (None, 29, 29, 16)
    """

    kernel: Variable

    def __init__(
        self,
        filters: int,
        kernel_size: IntOrPair,
        strides: IntOrPair = (1, 1),
        padding: str = "valid",
        output_padding: IntOrPair | None = None,
        data_format: str | None = None,
        dilation_rate: IntOrPair = (1, 1),
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
        self.filters = normalize_int("Conv2DTranspose", "filters", filters)
        self.output_padding: Pair | None = None
        if output_padding is not None:
            extra = normalize_pair("Conv2DTranspose", "output_padding", output_padding, minimum=0)
            if extra[0] >= self.strides[0] or extra[1] >= self.strides[1]:
                rule, expected = "must be below strides", f"below {self.strides}"
                raise value_error("Conv2DTranspose", "output_padding", rule, expected, extra)
            self.output_padding = extra
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def output_channels(self, channels: int) -> int:
        return self.filters

    def output_size(self, size: Shape) -> Shape:
        height, width = (1 if side is None else side for side in size)
        out = self._transposed_windows((height, width)).input_size
        return tuple(None if side is None else o for side, o in zip(size, out, strict=True))

    def _transposed_windows(self, size: Pair) -> Windows:
        return conv_transpose_windows(
            self._title,
            size,
            self.kernel_size,
            padding=self.padding,
            output_padding=self.output_padding,
            **self._steps(),
        )

    def add_kernels(self, channels: int) -> None:
        self.kernel = self.add_weight(
            (*self.kernel_size, self.filters, channels),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        y = ops.conv2d_transpose(
            x,
            self.kernel.value,
            self._bias_value(),
            output_padding=self.output_padding,
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
        height, width = split_image_shape(x.shape, self.data_format)[0]
        assert height is not None
        assert width is not None
        # The layer is the input gradient of a convolution of the *large* image: its own input
        # gradient is that convolution, and its kernel gradient the one with x in the part of the
        # gradient.
        arguments = self._arguments()
        arguments["padding"] = self._transposed_windows((height, width)).padding
        kernel = self.kernel
        if kernel.gradient is not None:
            out = Conv2DGradients(None, kernel.gradient, None)
            ops.conv2d_gradients(grad, kernel.value, x, wrt="kernel", out=out, **arguments)
        if self.bias is not None and self.bias.gradient is not None:
            self.bias.gradient[...] = channel_sums(grad, CHANNEL_AXES[self.data_format])
        if not need_input_gradient:
            return None
        return ops.conv2d(grad, kernel.value, **arguments)
