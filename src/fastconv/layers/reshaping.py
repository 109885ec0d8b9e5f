"""Layers that only change the shape."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv._errors import type_error, value_error
from fastconv._shapes import normalize_int
from fastconv.layers.arguments import normalize_data_format
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class Reshape(Layer):
    """The values of each sample, in C order, in another shape.

    Input `(N, ...)`, result `(N, *target_shape)`.

    Args:
        target_shape: of a sample; one size may be -1, for what the others leave.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: sizes that are not positive, two of -1, or another number of values.

    >>> Reshape((7, -1)).compute_output_shape((None, 28, 4))
    (None, 7, 16)
    """

    def __init__(self, target_shape: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(target_shape, list | tuple):
            expected = "a tuple such as (7, -1)"
            raise type_error("Reshape", "target_shape", "must be a tuple", expected, target_shape)
        if list(target_shape).count(-1) > 1:
            rule, expected = "has more than one size to infer", "at most one -1"
            raise value_error("Reshape", "target_shape", rule, expected, target_shape)
        self.target_shape = tuple(
            -1 if size == -1 else normalize_int("Reshape", "target_shape", size)
            for size in target_shape
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        known = math.prod(size for size in self.target_shape if size != -1)
        if None in input_shape[1:]:
            return input_shape[0], *(None if size == -1 else size for size in self.target_shape)
        values = math.prod(size or 0 for size in input_shape[1:])
        infer = -1 in self.target_shape
        if values % known if infer else values != known:
            rule, expected = "does not fit target_shape", f"values for {self.target_shape}"
            raise value_error(self._title, "the input", rule, expected, f"shape {input_shape}")
        return input_shape[0], *(
            values // known if size == -1 else size for size in self.target_shape
        )

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        shape: Any = self.compute_output_shape(x.shape)
        return x.reshape(shape), x.shape

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        return grad.reshape(saved)
