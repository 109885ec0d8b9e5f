"""Metrics: running figures over the samples of an epoch, as Keras 3 defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastconv._errors import type_error, value_error
from fastconv.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from fastconv.metrics.auc import AUC
from fastconv.metrics.confusion import Precision, Recall
from fastconv.metrics.metric import Mean, MeanMetricWrapper, Metric
from fastconv.metrics.regression import MeanAbsoluteError, MeanSquaredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv.layers.symbolic import Shape

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "get",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

_NAMES: dict[str, type[Metric]] = {
    "auc": AUC,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "precision": Precision,
    "recall": Recall,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
}
_NAMES |= {kind.__name__: kind for kind in (*_NAMES.values(), Accuracy)}


def get(
    identifier: str | Metric | type[Metric] | Callable[..., Any],
    target_shape: Shape,
    output_shape: Shape,
) -> Metric:
    """The metric of a name, a class or a function of `(y_true, y_pred)`.

    "accuracy" (or "acc") is binary if the last axis of the output has size 1, sparse if the targets
    have no axis of classes, categorical otherwise.

    >>> get("accuracy", (None,), (None, 10))
    <SparseCategoricalAccuracy name=accuracy>

    Raises:
        ValueError: an unknown name.
        TypeError: something else.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        if identifier in ("accuracy", "acc"):
            return _accuracy_of(target_shape, output_shape)(identifier)
        if identifier not in _NAMES:
            expected = f"accuracy or one of {', '.join(_NAMES)}"
            raise value_error("metrics.get", "identifier", "is not known", expected, identifier)
        metric = _NAMES[identifier]()
        metric.name = identifier
        return metric
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if callable(identifier):
        return MeanMetricWrapper(identifier)
    rule, expected = "must be a metric", "a name, a Metric or a function"
    raise type_error("metrics.get", "identifier", rule, expected, identifier)


def _accuracy_of(target_shape: Shape, output_shape: Shape) -> Callable[[str], Metric]:
    if output_shape[-1] == 1:
        return BinaryAccuracy
    if len(target_shape) < len(output_shape) or target_shape[-1] == 1:
        return SparseCategoricalAccuracy
    return CategoricalAccuracy
