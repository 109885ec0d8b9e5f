"""All weights of a model in one array, all gradients in another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv.layers.variable import Float32Array, Variable

_ALIGNMENT = 64
"""Bytes; every weight starts on a cache line, where one vector load crosses no boundary."""


class FlatParameters:
    """One flat float32 buffer for all weights, those that train first, and one of gradients.

    `Variable.value` and `Variable.gradient` become views. The gaps that alignment leaves between
    weights are 0 and stay 0, as their gradients do, so that an optimizer may treat the buffer as
    one weight.

    Attributes:
        trainable: `(size,)`, the weights that train.
        gradients: `(size,)`, in the same layout.
        slices: for each weight that trains its place in both.
    """

    def __init__(self, trainable: Sequence[Variable], frozen: Sequence[Variable]) -> None:
        self._variables = [*trainable, *frozen]
        self._trainable = tuple(trainable)
        places, total = [], 0
        for variable in self._variables:
            places.append(total)
            step = _ALIGNMENT // variable.value.itemsize
            total += -(-math.prod(variable.shape) // step) * step
        size = places[len(trainable)] if frozen else total
        values = _aligned_zeros(total)
        self.trainable = values[:size]
        self.gradients = _aligned_zeros(size)
        for variable, place in zip(self._variables, places, strict=True):
            value = _view(values, place, variable)
            value[...] = variable.value
            variable.value = value
            variable.gradient = None
            variable.owner = self
        self._places = tuple(places[: len(trainable)])
        self.slices = tuple(
            slice(place, place + math.prod(variable.shape))
            for variable, place in zip(trainable, self._places, strict=True)
        )
        for variable, gradient in zip(trainable, self.views(self.gradients), strict=True):
            variable.gradient = gradient

    def views(self, values: Float32Array) -> list[Float32Array]:
        """For each weight that trains the part of `values`, an array such as `gradients`."""
        return [
            _view(values, place, variable)
            for variable, place in zip(self._trainable, self._places, strict=True)
        ]

    @property
    def current(self) -> bool:
        """Whether no other model has taken one of the weights into its own buffer since."""
        return all(variable.owner is self for variable in self._variables)


def _view(flat: Float32Array, place: int, variable: Variable) -> Float32Array:
    return flat[place : place + math.prod(variable.shape)].reshape(variable.shape)


def _aligned_zeros(size: int) -> Float32Array:
    spare = _ALIGNMENT // 4
    memory = np.zeros(size + spare, np.float32)
    first = -(memory.ctypes.data // 4) % spare
    return memory[first : first + size]
