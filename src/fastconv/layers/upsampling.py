"""Larger images."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv._errors import value_error
from fastconv._shapes import normalize_pair
from fastconv.layers.arguments import (
    CHANNEL_AXES,
    IMAGE_AXES,
    join_image_shape,
    normalize_data_format,
    split_image_shape,
)
from fastconv.layers.channel_sums import around
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from fastconv._types import FloatArray, IntOrPair, Pair
    from fastconv.layers.symbolic import Shape


class UpSampling2D(Layer):
    """Images with `size` times as many rows and columns.

    Input `(N, H, W, C)`, result `(N, size * H, size * W, C)`; with
    `data_format="channels_first"` the channels come second in both.

    Args:
        size: int or (vertical, horizontal).
        data_format: None or "channels_last", or "channels_first".
        interpolation: "nearest", which repeats rows and columns, or "bilinear", between the
            centres of the cells.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range.

    >>> UpSampling2D((1, 2))(np.float32([1, 2]).reshape(1, 1, 2, 1)).ravel().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """

    min_ndim = max_ndim = 4

    def __init__(
        self,
        size: IntOrPair = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.size: Pair = normalize_pair("UpSampling2D", "size", size)
        self.data_format = normalize_data_format("UpSampling2D", data_format)
        self.interpolation = str(interpolation).lower()
        if self.interpolation not in ("nearest", "bilinear"):
            rule, expected = "is not known", '"nearest" or "bilinear"'
            raise value_error("UpSampling2D", "interpolation", rule, expected, interpolation)
        self.input_axes = IMAGE_AXES[self.data_format]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        size, channels = split_image_shape(input_shape, self.data_format)
        out = tuple(
            None if cells is None else cells * times
            for cells, times in zip(size, self.size, strict=True)
        )
        return join_image_shape(input_shape[0], out, channels, self.data_format)

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        y = x
        for axis, times in self._axes():
            y = self._stretched(y, axis, times)
        return y, x.shape

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        if not need_input_gradient:
            return None
        for axis, times in self._axes()[::-1]:
            grad = self._stretched_gradient(grad, axis, times)
        return grad

    def _axes(self) -> list[tuple[int, int]]:
        """The axes of height and width, and how many times they grow."""
        axes = [axis for axis in (1, 2, 3) if axis != CHANNEL_AXES[self.data_format]]
        return list(zip(axes, self.size, strict=True))

    def _stretched(self, x: FloatArray, axis: int, times: int) -> FloatArray:
        if self.interpolation == "nearest":
            return np.repeat(x, times, axis=axis)
        weights = _bilinear_weights(x.shape[axis], times).astype(x.dtype)
        return _along(weights, x, axis)

    def _stretched_gradient(self, grad: FloatArray, axis: int, times: int) -> FloatArray:
        cells = grad.shape[axis] // times
        if self.interpolation == "nearest":
            shape = (*grad.shape[:axis], cells, times, *grad.shape[axis + 1 :])
            total: FloatArray = grad.reshape(shape).sum(axis=axis + 1)
            return total
        weights = _bilinear_weights(cells, times).astype(grad.dtype)
        return _along(weights.T, grad, axis)


def _bilinear_weights(cells: int, times: int) -> FloatArray:
    """`(times * cells, cells)`: how much of each cell a new one has; rows sum to 1."""
    places = (np.arange(times * cells) + 0.5) / times - 0.5
    before = np.floor(places).astype(np.intp)
    share = places - before
    weights = np.zeros((times * cells, cells))
    rows = np.arange(times * cells)
    # Beyond the centres at the edge the cell there counts for both.
    np.add.at(weights, (rows, np.clip(before, 0, cells - 1)), 1 - share)
    np.add.at(weights, (rows, np.clip(before + 1, 0, cells - 1)), share)
    return weights


def _along(matrix: FloatArray, x: FloatArray, axis: int) -> FloatArray:
    """`matrix` times every column of `x` along `axis`."""
    y: FloatArray = np.matmul(matrix, x.reshape(around(x.shape, axis)))
    return y.reshape(*x.shape[:axis], len(matrix), *x.shape[axis + 1 :])
