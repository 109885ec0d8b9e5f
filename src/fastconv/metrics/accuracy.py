"""Shares of samples whose prediction is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error
from fastconv.losses import match_rank
from fastconv.metrics.metric import MeanMetricWrapper

Array = npt.NDArray[Any]
Booleans = npt.NDArray[np.bool_]


def accuracy(y_true: Array, y_pred: Array) -> Booleans:
    """Where predictions equal labels.

    `y_true` and `y_pred` `(N, ...)`, result in this shape.
    """
    return np.asarray(match_rank(y_true, y_pred.shape) == y_pred)


def binary_accuracy(y_true: Array, y_pred: Array, threshold: float = 0.5) -> Booleans:
    """Where predictions above `threshold` stand for the label 1, the others for 0.

    `y_true` and `y_pred` `(N, ...)`, result in this shape.
    """
    return np.asarray(match_rank(y_true, y_pred.shape) == (y_pred > threshold))


def categorical_accuracy(y_true: Array, y_pred: Array) -> Booleans:
    """Where the largest prediction is the class of the one-hot target.

    `y_true` and `y_pred` `(N, ..., classes)`, result `(N, ...)`.
    """
    return np.asarray(y_true.argmax(axis=-1) == y_pred.argmax(axis=-1))


def sparse_categorical_accuracy(y_true: Array, y_pred: Array) -> Booleans:
    """Where the largest prediction is the class of the integer label.

    `y_true` `(N, ...)` or `(N, ..., 1)`, `y_pred` `(N, ..., classes)`, result `(N, ...)`.
    """
    if y_true.ndim == y_pred.ndim:
        y_true = y_true[..., 0]
    return np.asarray(y_true == y_pred.argmax(axis=-1))


def top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: int = 5) -> Booleans:
    """Where fewer than `k` predictions are larger than that of the one-hot target's class.

    `y_true` and `y_pred` `(N, ..., classes)`, result `(N, ...)`.
    """
    return _in_top_k(y_true.argmax(axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: int = 5) -> Booleans:
    """Where fewer than `k` predictions are larger than that of the integer label's class.

    `y_true` `(N, ...)` or `(N, ..., 1)`, `y_pred` `(N, ..., classes)`, result `(N, ...)`.
    """
    if y_true.ndim == y_pred.ndim:
        y_true = y_true[..., 0]
    return _in_top_k(y_true.astype(np.intp, copy=False), y_pred, k)


def _in_top_k(labels: Array, y_pred: Array, k: int) -> Booleans:
    own = np.take_along_axis(y_pred, labels[..., None], axis=-1)
    # A prediction of NaN is larger than nothing, and everything else is larger than it.
    own = np.where(np.isnan(own), -np.inf, own)
    return np.asarray(np.count_nonzero(y_pred > own, axis=-1) < k)


class Accuracy(MeanMetricWrapper):
    """How often predictions equal labels.

    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    direction = "max"

    def __init__(self, name: str | None = "accuracy") -> None:
        super().__init__(accuracy, name)


class BinaryAccuracy(MeanMetricWrapper):
    """How often predictions, cut at `threshold`, equal binary labels."""

    direction = "max"

    def __init__(self, name: str | None = "binary_accuracy", *, threshold: float = 0.5) -> None:
        self.threshold = threshold
        super().__init__(binary_accuracy, name, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is the class of the one-hot target."""

    needs_probabilities = False
    direction = "max"

    def __init__(self, name: str | None = "categorical_accuracy") -> None:
        super().__init__(categorical_accuracy, name)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is the class of the integer label."""

    needs_probabilities = False
    direction = "max"

    def __init__(self, name: str | None = "sparse_categorical_accuracy") -> None:
        super().__init__(sparse_categorical_accuracy, name)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often fewer than `k` predictions are larger than that of the one-hot target's class.

    Raises:
        ValueError: k below 1.

    >>> TopKCategoricalAccuracy(k=2)([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0, 0.95]])
    0.5
    """

    needs_probabilities = False
    direction = "max"

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy") -> None:
        self.k = _checked_k(self, k)
        super().__init__(top_k_categorical_accuracy, name, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often fewer than `k` predictions are larger than that of the integer label's class.

    Raises:
        ValueError: k below 1.
    """

    needs_probabilities = False
    direction = "max"

    def __init__(self, k: int = 5, name: str | None = "sparse_top_k_categorical_accuracy") -> None:
        self.k = _checked_k(self, k)
        super().__init__(sparse_top_k_categorical_accuracy, name, k=k)


def _checked_k(metric: MeanMetricWrapper, k: int) -> int:
    if k < 1:
        raise value_error(type(metric).__name__, "k", "is out of range", "k >= 1", k)
    return k
