"""Layers that only change the shape."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv.layers.arguments import normalize_data_format
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape


class Flatten(Layer):
    """One axis from all but the batch, in C order: rows from top to bottom.

    Input `(N, ...)`, result `(N, product)`.

    Args:
        data_format: None or "channels_last"; with "channels_first" the channels are moved last
            before, so that the result does not depend on the layout.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    >>> Flatten().compute_output_shape((None, 5, 5, 64))
    (None, 1600)
    """

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = normalize_data_format("Flatten", data_format)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        sizes = [size for size in input_shape[1:] if size is not None]
        known = len(sizes) == len(input_shape) - 1
        return input_shape[0], math.prod(sizes) if known else None

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        shape = x.shape
        if self.data_format == "channels_first" and x.ndim > 2:
            x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        return x.reshape(shape[0], math.prod(shape[1:])), shape

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        shape = saved
        if self.data_format == "channels_first" and len(shape) > 2:
            last = grad.reshape(shape[0], *shape[2:], shape[1])
            return np.ascontiguousarray(np.moveaxis(last, -1, 1))
        return grad.reshape(shape)
