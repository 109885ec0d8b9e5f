"""Pooling of windows."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import ops
from fastconv._pool_windows import pool_windows
from fastconv._shapes import Windows, normalize_pair
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
    from fastconv._types import FloatArray, IntOrPair, Pair
    from fastconv.layers.symbolic import Shape


class Pooling2D(Layer):
    """Base of the poolings of windows; a subclass has the arithmetic.

    Args:
        pool_size: int or (vertical, horizontal).
        strides: the same; None for `pool_size`.
        padding: "valid", which drops partial windows (11 -> 5), or "same".
        data_format: None or "channels_last", or "channels_first".
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.
    """

    min_ndim = max_ndim = 4

    def __init__(
        self,
        pool_size: IntOrPair = (2, 2),
        strides: IntOrPair | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        operation = type(self).__name__
        self.pool_size: Pair = normalize_pair(operation, "pool_size", pool_size)
        steps = pool_size if strides is None else strides
        self.strides: Pair = normalize_pair(operation, "strides", steps)
        self.padding = normalize_padding_name(operation, padding)
        self.data_format = normalize_data_format(operation, data_format)
        self.input_axes = IMAGE_AXES[self.data_format]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        size, channels = split_image_shape(input_shape, self.data_format)
        out = windowed_size(size, self.pool_size, self._windows)
        return join_image_shape(input_shape[0], out, channels, self.data_format)

    def _windows(self, size: Pair) -> Windows:
        return pool_windows(
            self._title, size, self.pool_size, strides=self.strides, padding=self.padding
        )

    def _arguments(self) -> dict[str, Any]:
        return {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


class MaxPooling2D(Pooling2D):
    """The maximum of each window; the first one wins a tie, and NaN wins over numbers.

    Input `(N, H, W, C)`, result `(N, out_height, out_width, C)`; with
    `data_format="channels_first"` the channels come second in both.

    Args:
        pool_size: int or (vertical, horizontal).
        strides: the same; None for `pool_size`.
        padding: "valid", which drops partial windows (11 -> 5), or "same".
        data_format: None or "channels_last", or "channels_first".
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    >>> MaxPooling2D(2).compute_output_shape((None, 11, 11, 64))
    (None, 5, 5, 64)
    """

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        if not training:
            return ops.max_pool2d(x, **self._arguments()), None
        y, argmax = ops.max_pool2d(x, return_argmax=True, **self._arguments())
        return y, (argmax, x.shape)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        if not need_input_gradient:
            return None
        argmax, input_shape = saved
        return ops.max_pool2d_gradient(grad, argmax, input_shape, data_format=self.data_format)


class AveragePooling2D(Pooling2D):
    """The mean of each window, over its cells inside the image.

    Input `(N, H, W, C)`, result `(N, out_height, out_width, C)`; with
    `data_format="channels_first"` the channels come second in both.

    Args:
        pool_size: int or (vertical, horizontal).
        strides: the same; None for `pool_size`.
        padding: "valid", which drops partial windows (11 -> 5), or "same".
        data_format: None or "channels_last", or "channels_first".
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    >>> AveragePooling2D(2).compute_output_shape((None, 11, 11, 64))
    (None, 5, 5, 64)
    """

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        return ops.average_pool2d(x, **self._arguments()), x.shape

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        if not need_input_gradient:
            return None
        return ops.average_pool2d_gradient(grad, saved, **self._arguments())
