"""The losses as functions: one value a sample (or pixel), before any reduction.

Each takes targets and predictions as its class does, computes in float32, and raises the errors of
`Loss`.
"""

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
    """`MeanSquaredError` of each sample.

    `y_true` and `y_pred` `(N, ..., n)`, result `(N, ...)`.

    Raises:
        ValueError, TypeError: targets that do not fit the predictions.
    """
    return MeanSquaredError(reduction="none")(y_true, y_pred)


def mean_absolute_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """`MeanAbsoluteError` of each sample.

    `y_true` and `y_pred` `(N, ..., n)`, result `(N, ...)`.

    Raises:
        ValueError, TypeError: targets that do not fit the predictions.
    """
    return MeanAbsoluteError(reduction="none")(y_true, y_pred)


def huber(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, delta: float = 1.0) -> Any:
    """`Huber` of each sample.

    `y_true` and `y_pred` `(N, ..., n)`, `delta` > 0, result `(N, ...)`.

    Raises:
        ValueError, TypeError: targets that do not fit the predictions, an argument out of range.
    """
    return Huber(delta, reduction="none")(y_true, y_pred)


def binary_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Any:
    """`BinaryCrossentropy` of each sample.

    `y_true` and `y_pred` `(N, ..., n)`, result `(N, ...)`; `y_pred` are probabilities, or
    logits with `from_logits`; `label_smoothing` in [0, 1].

    Raises:
        ValueError, TypeError: targets that do not fit the predictions, an argument out of range.
    """
    return BinaryCrossentropy(from_logits, label_smoothing, reduction="none")(y_true, y_pred)


def categorical_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Any:
    """`CategoricalCrossentropy` of each sample.

    `y_true` and `y_pred` `(N, ..., classes)`, result `(N, ...)`; `y_pred` are probabilities,
    or logits with `from_logits`; `label_smoothing` in [0, 1].

    Raises:
        ValueError, TypeError: targets that do not fit the predictions, an argument out of range.
    """
    return CategoricalCrossentropy(from_logits, label_smoothing, reduction="none")(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, from_logits: bool = False
) -> Any:
    """`SparseCategoricalCrossentropy` of each sample.

    Labels `y_true` `(N, ...)`, `y_pred` `(N, ..., classes)`, result `(N, ...)`; `y_pred` are
    probabilities, or logits with `from_logits`.

    Raises:
        ValueError, TypeError: targets that do not fit the predictions.
    """
    return SparseCategoricalCrossentropy(from_logits, reduction="none")(y_true, y_pred)
