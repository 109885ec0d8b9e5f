"""Weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error

if TYPE_CHECKING:
    from fastconv.regularizers import Regularizer

Float32Array: TypeAlias = npt.NDArray[np.float32]


class Variable:
    """A float32 weight and, while its model trains, its gradient.

    A model that trains moves both into its flat buffers: `value` and `gradient` are then views,
    so read the attributes anew instead of keeping the arrays.

    Attributes:
        name: such as "kernel"; `path` has the layer's name before it.
        value: the array.
        gradient: array of the same shape for the last batch; None if nothing trains it.
        trainable: False for weights that no optimizer may change.
        regularizer: of the penalty that the loss includes, or None.
    """

    __slots__ = ("gradient", "name", "owner", "path", "regularizer", "trainable", "value")

    def __init__(
        self,
        value: Float32Array,
        name: str,
        path: str,
        *,
        trainable: bool,
        regularizer: Regularizer | None = None,
    ) -> None:
        self.value = value
        self.gradient: Float32Array | None = None
        self.name = name
        self.path = path
        self.trainable = trainable
        self.regularizer = regularizer
        self.owner: object = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.value.shape

    @property
    def dtype(self) -> str:
        """Always "float32"."""
        return self.value.dtype.name

    def assign(self, value: npt.ArrayLike) -> None:
        """Copy `value` in.

        Raises:
            ValueError: another shape.
        """
        array = np.asarray(value)
        if array.shape != self.shape:
            raise value_error(self.path, "value", "has the wrong shape", self.shape, array.shape)
        self.value[...] = array

    def numpy(self) -> Float32Array:
        """A copy of the array."""
        return self.value.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.value, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"
