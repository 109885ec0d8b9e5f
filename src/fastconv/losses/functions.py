"""The losses as functions: one value a sample, before any reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastconv.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from fastconv.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError

if TYPE_CHECKING:
    import numpy.typing as npt


def mean_squared_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """`MeanSquaredError` of each sample."""
    return MeanSquaredError(reduction="none")(y_true, y_pred)


def mean_absolute_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """`MeanAbsoluteError` of each sample."""
    return MeanAbsoluteError(reduction="none")(y_true, y_pred)


def huber(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, delta: float = 1.0) -> Any:
    """`Huber` of each sample."""
    return Huber(delta, reduction="none")(y_true, y_pred)


def binary_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Any:
    """`BinaryCrossentropy` of each sample."""
    return BinaryCrossentropy(from_logits, label_smoothing, reduction="none")(y_true, y_pred)


def categorical_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Any:
    """`CategoricalCrossentropy` of each sample."""
    return CategoricalCrossentropy(from_logits, label_smoothing, reduction="none")(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, from_logits: bool = False
) -> Any:
    """`SparseCategoricalCrossentropy` of each sample."""
    return SparseCategoricalCrossentropy(from_logits, reduction="none")(y_true, y_pred)
