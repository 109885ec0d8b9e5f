"""Zeros around images."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv._errors import type_error
from fastconv._shapes import normalize_padding
from fastconv.layers.arguments import (
    IMAGE_AXES,
    join_image_shape,
    normalize_data_format,
    split_image_shape,
)
from fastconv.layers.layer import Layer, LayerOptions
from fastconv.ops._memory import allocate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape


class ZeroPadding2D(Layer):
    """Rows and columns of zeros around each image.

    Input `(N, H, W, C)`, result `(N, top + H + bottom, left + W + right, C)`; with
    `data_format="channels_first"` the channels come second in both.

    Args:
        padding: int, (vertical, horizontal) or ((top, bottom), (left, right)).
        data_format: None or "channels_last", or "channels_first".
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: a padding of another form.

    >>> ZeroPadding2D(((1, 0), (2, 2))).compute_output_shape((None, 28, 28, 1))
    (None, 29, 32, 1)
    """

    min_ndim = max_ndim = 4

    def __init__(
        self,
        padding: int | Sequence[int] | Sequence[Sequence[int]] = (1, 1),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        sides = normalize_padding("ZeroPadding2D", padding)
        if isinstance(sides, str):
            expected = "int, (vertical, horizontal) or ((top, bottom), (left, right))"
            raise type_error("ZeroPadding2D", "padding", "must be numbers", expected, sides)
        self.padding = sides
        self.data_format = normalize_data_format("ZeroPadding2D", data_format)
        self.input_axes = IMAGE_AXES[self.data_format]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        size, channels = split_image_shape(input_shape, self.data_format)
        padded = tuple(
            None if cells is None else cells + sum(sides)
            for cells, sides in zip(size, self.padding, strict=True)
        )
        return join_image_shape(input_shape[0], padded, channels, self.data_format)

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        shape: Any = self.compute_output_shape(x.shape)
        y = allocate("ZeroPadding2D", shape, x.dtype)
        y[...] = 0
        y[self._inside(y)] = x
        return y, None

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        return grad[self._inside(grad)].copy() if need_input_gradient else None

    def _inside(self, y: FloatArray) -> tuple[slice, ...]:
        """Where in the result the image is."""
        first = 1 if self.data_format == "channels_last" else 2
        around = dict(enumerate(self.padding, start=first))
        inside = [slice(None)] * y.ndim
        for axis, (before, after) in around.items():
            inside[axis] = slice(before, y.shape[axis] - after)
        return tuple(inside)
