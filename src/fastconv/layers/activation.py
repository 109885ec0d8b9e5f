"""Activations as layers of their own."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv import activations
from fastconv.layers.arguments import check_sample_axis, normalize_index, normalize_non_negative
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape


class Activation(Layer):
    """An activation function. Result in the shape of the input.

    Args:
        activation: name, or function whose name is known.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError: an unknown name.
    """

    def __init__(
        self, activation: str | Callable[..., object], **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        return input_shape

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        return (x, x) if self.activation is activations.linear else self.activation.record(x)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        return self.activation.gradient(grad, saved)


class ReLU(Layer):
    """The rectifier `max(x, 0)`, or a general form of it.

    - `max_value` where `x >= max_value`,
    - `x` where `threshold <= x < max_value`,
    - `negative_slope * (x - threshold)` elsewhere.

    Args:
        max_value: >= 0, or None for no limit.
        negative_slope, threshold: >= 0.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError: a negative argument.
        TypeError: no number.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.max_value: float | None = None
        if max_value is not None:
            self.max_value = normalize_non_negative("ReLU", "max_value", max_value)
        self.negative_slope = normalize_non_negative("ReLU", "negative_slope", negative_slope)
        self.threshold = normalize_non_negative("ReLU", "threshold", threshold)

    @property
    def plain(self) -> bool:
        """Whether this is `max(x, 0)`."""
        return self.max_value is None and self.negative_slope == 0 and self.threshold == 0

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        return input_shape

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        if self.plain:
            y = activations.relu(x)
            return y, y
        below = self.negative_slope * (x - self.threshold)
        y = np.where(x < self.threshold, below, x).astype(x.dtype, copy=False)
        if self.max_value is not None:
            np.minimum(y, self.max_value, out=y)
        return y, x

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        if self.plain:
            return activations.relu.gradient(grad, saved)
        x = saved
        grad[x < self.threshold] *= self.negative_slope
        if self.max_value is not None:
            grad[x >= self.max_value] = 0
        return grad


class LeakyReLU(Layer):
    """`x` where it is not negative, `negative_slope * x` elsewhere.

    Args:
        negative_slope: >= 0.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError: a negative slope.
        TypeError: no number.

    >>> LeakyReLU(0.5)([[-2.0, 3.0]]).tolist()
    [[-1.0, 3.0]]
    """

    def __init__(self, negative_slope: float = 0.3, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.negative_slope = normalize_non_negative("LeakyReLU", "negative_slope", negative_slope)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        return input_shape

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        y = x.copy()
        np.multiply(x, self.negative_slope, out=y, where=x < 0)
        return y, x

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        np.multiply(grad, self.negative_slope, out=grad, where=saved < 0)
        return grad


class Softmax(Layer):
    """Softmax over one axis. Result in the shape of the input.

    Args:
        axis: the axis whose values sum to 1.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError: an axis that the input does not have, or the batch.
        TypeError: an axis that is no int.
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = normalize_index("Softmax", "axis", axis)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        check_sample_axis(self._title, self.axis, input_shape)
        return input_shape

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        rows = np.ascontiguousarray(np.moveaxis(x, self.axis, -1))
        y = activations.softmax(rows)
        return np.ascontiguousarray(np.moveaxis(y, -1, self.axis)), y

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        rows = np.ascontiguousarray(np.moveaxis(grad, self.axis, -1))
        rows = activations.softmax.gradient(rows, saved)
        return np.ascontiguousarray(np.moveaxis(rows, -1, self.axis))
