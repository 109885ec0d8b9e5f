"""Layers of several inputs."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv._errors import type_error, value_error
from fastconv.layers.arguments import check_sample_axis, normalize_index
from fastconv.layers.layer import Layer, LayerOptions
from fastconv.ops._memory import allocate

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape


class Merging(Layer):
    """Base of layers that are called on a list of at least two inputs."""

    def _parts_of(self, inputs: Any) -> Sequence[Any]:
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            rule, expected = "must be called on several inputs", "a list of at least two"
            raise type_error(self._title, "the layer", rule, expected, inputs)
        return inputs

    def _whole(self, parts: Sequence[Any]) -> Any:
        return list(parts)

    def check_ndim(self, input_shape: Any) -> None:
        for shape in input_shape:
            super().check_ndim(shape)
        if len({len(shape) for shape in input_shape}) > 1:
            raise self._wrong_shapes("as many axes in each", input_shape)

    def _wrong_shapes(self, expected: str, shapes: Sequence[Shape]) -> ValueError:
        received = ", ".join(map(str, shapes))
        return value_error(self._title, "the inputs", "do not fit together", expected, received)


class Add(Merging):
    """The sum of the inputs, which may be of size 1 along any axis but the batch.

    Inputs and result `(N, ...)`.

    Args:
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    >>> Add()([[[1, 2]], [[10, 20]]]).tolist()
    [[11.0, 22.0]]
    """

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        self.check_ndim(input_shape)
        sizes = []
        for axis, along in enumerate(zip(*input_shape, strict=True)):
            # One sample does not stand for several, as one row does.
            known = {size for size in along if size is not None and (size != 1 or axis == 0)}
            if len(known) > 1:
                raise self._wrong_shapes("equal sizes, or 1 but for the batch", input_shape)
            sizes.append(known.pop() if known else None if None in along else 1)
        return tuple(sizes)

    def forward(self, x: Sequence[FloatArray], *, training: bool) -> tuple[FloatArray, Any]:
        shape = np.broadcast_shapes(*(part.shape for part in x))
        y = np.add(x[0], x[1], out=allocate("Add", shape, x[0].dtype))
        for part in x[2:]:
            y += part
        return y, [part.shape for part in x]

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> list[FloatArray]:
        return [_summed_to(shape, grad) for shape in saved]


def _summed_to(shape: tuple[int, ...], grad: FloatArray) -> FloatArray:
    """A new array of `shape`: the sum of `grad` along the axes where the size is 1 instead."""
    pairs = enumerate(zip(shape, grad.shape, strict=True))
    axes = tuple(axis for axis, (size, above) in pairs if size != above)
    return np.add.reduce(grad, axis=axes, keepdims=True) if axes else grad.copy()


class Concatenate(Merging):
    """The inputs one after the other along an axis.

    Inputs `(N, ...)`, of equal sizes along all other axes.

    Args:
        axis: any but the batch.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError: an axis that the inputs do not have, or the batch.
        TypeError: an axis that is no int.

    >>> Concatenate()([[[1, 2]], [[3]]]).tolist()
    [[1.0, 2.0, 3.0]]
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = normalize_index("Concatenate", "axis", axis)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        self.check_ndim(input_shape)
        check_sample_axis(self._title, self.axis, input_shape[0])
        sizes: list[int | None] = []
        for axis, along in enumerate(zip(*input_shape, strict=True)):
            known = {size for size in along if size is not None}
            if axis == self.axis % len(input_shape[0]):
                sizes.append(None if None in along else sum(size or 0 for size in along))
            elif len(known) > 1:
                raise self._wrong_shapes(f"equal sizes but along axis {self.axis}", input_shape)
            else:
                sizes.append(known.pop() if known else None)
        return tuple(sizes)

    def forward(self, x: Sequence[FloatArray], *, training: bool) -> tuple[FloatArray, Any]:
        shape: Any = self.compute_output_shape([part.shape for part in x])
        y = allocate("Concatenate", shape, x[0].dtype)
        return np.concatenate(x, axis=self.axis, out=y), [part.shape[self.axis] for part in x]

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> list[FloatArray]:
        ends = np.cumsum(saved)[:-1]
        return [part.copy() for part in np.split(grad, ends, axis=self.axis)]
