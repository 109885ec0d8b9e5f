"""Scale and offset."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv._errors import type_error
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape


class Rescaling(Layer):
    """`x * scale + offset`: `Rescaling(1 / 255)` takes bytes to 0 .. 1.

    Result in the shape of the input.

    Args:
        scale, offset: a number, or one for each place of the last axis.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        TypeError: no numbers.

    >>> Rescaling(1 / 4, offset=-1)([[0, 8]]).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        scale: float | Sequence[float],
        offset: float | Sequence[float] = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.scale = _numbers("scale", scale)
        self.offset = _numbers("offset", offset)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        return input_shape

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        y = x * np.asarray(self.scale, x.dtype)
        y += np.asarray(self.offset, x.dtype)
        return y, None

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        grad *= np.asarray(self.scale, grad.dtype)
        return grad


def _numbers(argument: str, value: float | Sequence[float]) -> float | list[float]:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1:
        rule, expected = "must be numbers", "a number, or one for each place of the last axis"
        raise type_error("Rescaling", argument, rule, expected, repr(value))
    numbers: float | list[float] = array.astype(float).tolist()
    return numbers
