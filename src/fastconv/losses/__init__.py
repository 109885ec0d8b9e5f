"""Losses, as Keras 3 defines them: classes, and functions that give one value a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastconv._errors import type_error, value_error
from fastconv.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CrossEntropy,
    SparseCategoricalCrossentropy,
)
from fastconv.losses.functions import (
    binary_crossentropy,
    categorical_crossentropy,
    huber,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from fastconv.losses.loss import Loss, match_rank
from fastconv.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CrossEntropy",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "get",
    "huber",
    "match_rank",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]

_FUNCTIONS: dict[Callable[..., Any], type[Loss]] = {
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    huber: Huber,
    mean_absolute_error: MeanAbsoluteError,
    mean_squared_error: MeanSquaredError,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
}
_NAMES: dict[str, type[Loss]] = {
    **{function.__name__: kind for function, kind in _FUNCTIONS.items()},
    **{kind.__name__: kind for kind in _FUNCTIONS.values()},
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}


def get(identifier: str | Loss | type[Loss] | Callable[..., Any]) -> Loss:
    """The loss of a name, a class or a function of this module.

    >>> get("mse").name
    'mean_squared_error'

    Raises:
        ValueError: an unknown name.
        TypeError: something else; a plain function has no gradient.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier) and identifier in _FUNCTIONS:
        return _FUNCTIONS[identifier]()
    if not isinstance(identifier, str):
        rule, expected = "must be a loss", "a name or a Loss, which has a gradient"
        raise type_error("losses.get", "identifier", rule, expected, identifier)
    if identifier not in _NAMES:
        expected = f"one of {', '.join(_NAMES)}"
        raise value_error("losses.get", "identifier", "is not known", expected, identifier)
    return _NAMES[identifier]()
