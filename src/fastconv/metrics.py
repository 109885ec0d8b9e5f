"""Metrics: running figures over the samples of an epoch, as Keras 3 defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error
from fastconv.losses import match_rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv.layers.symbolic import Shape


class Metric:
    """Base class: override `update_state`, `result` and `reset_state`.

    `needs_probabilities` says whether predictions must have gone through the model's softmax;
    False where only their order counts.
    """

    needs_probabilities = True

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__.lower()

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take in one batch."""
        raise NotImplementedError

    def result(self) -> float:
        """The figure over all batches since the last reset; 0 if there were none."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Start anew."""
        raise NotImplementedError

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Take in one batch and give the running figure."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class _Average(Metric):
    """total / count, both float64."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.reset_state()

    def add(self, total: float, count: float) -> None:
        """Add a sum of `count` values."""
        self._total += total
        self._count += count

    def add_values(self, values: npt.NDArray[Any], sample_weight: npt.ArrayLike | None) -> None:
        """Add values, each with its weight (broadcast from the first axes) or with 1."""
        if sample_weight is None:
            self.add(float(np.add.reduce(values, axis=None)), values.size)
            return
        weights = np.asarray(sample_weight, np.float64)
        weights = weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))
        weights = np.broadcast_to(weights, values.shape)
        self.add(float(np.sum(values * weights)), float(np.sum(weights)))

    def result(self) -> float:
        return self._total / self._count if self._count else 0.0

    def reset_state(self) -> None:
        self._total = 0.0
        self._count = 0.0


class Mean(_Average):
    """The (weighted) mean of values.

    >>> mean = Mean()
    >>> mean.update_state([1, 3, 5, 7])
    >>> mean.result()
    4.0
    """

    def __init__(self, name: str | None = "mean") -> None:
        super().__init__(name)

    def update_state(  # type: ignore[override]
        self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take in an array of values."""
        self.add_values(np.asarray(values, np.float64), sample_weight)


class MeanMetricWrapper(_Average):
    """The mean over samples of a function of `(y_true, y_pred)` that gives one value each."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name or getattr(fn, "__name__", None))
        self._fn = fn

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take in one batch."""
        values = self._fn(np.asarray(y_true), np.asarray(y_pred))
        self.add_values(np.asarray(values), sample_weight)


def accuracy(y_true: npt.NDArray[Any], y_pred: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where predictions equal labels."""
    return np.asarray(match_rank(y_true, y_pred.shape) == y_pred)


def binary_accuracy(
    y_true: npt.NDArray[Any], y_pred: npt.NDArray[Any], threshold: float = 0.5
) -> npt.NDArray[np.bool_]:
    """Where predictions above `threshold` stand for the label 1, the others for 0."""
    return np.asarray(match_rank(y_true, y_pred.shape) == (y_pred > threshold))


def categorical_accuracy(
    y_true: npt.NDArray[Any], y_pred: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Where the largest prediction is the class of the one-hot target."""
    return np.asarray(y_true.argmax(axis=-1) == y_pred.argmax(axis=-1))


def sparse_categorical_accuracy(
    y_true: npt.NDArray[Any], y_pred: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Where the largest prediction is the class of the integer label."""
    if y_true.ndim == y_pred.ndim:
        y_true = y_true[..., 0]
    return np.asarray(y_true == y_pred.argmax(axis=-1))


class Accuracy(MeanMetricWrapper):
    """How often predictions equal labels.

    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    def __init__(self, name: str | None = "accuracy") -> None:
        super().__init__(accuracy, name)


class BinaryAccuracy(MeanMetricWrapper):
    """How often predictions, cut at `threshold`, equal binary labels."""

    def __init__(self, name: str | None = "binary_accuracy", *, threshold: float = 0.5) -> None:
        super().__init__(lambda y_true, y_pred: binary_accuracy(y_true, y_pred, threshold), name)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is the class of the one-hot target."""

    needs_probabilities = False

    def __init__(self, name: str | None = "categorical_accuracy") -> None:
        super().__init__(categorical_accuracy, name)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is the class of the integer label."""

    needs_probabilities = False

    def __init__(self, name: str | None = "sparse_categorical_accuracy") -> None:
        super().__init__(sparse_categorical_accuracy, name)


_NAMES: dict[str, Callable[[], Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "Accuracy": Accuracy,
    "BinaryAccuracy": BinaryAccuracy,
    "CategoricalAccuracy": CategoricalAccuracy,
    "SparseCategoricalAccuracy": SparseCategoricalAccuracy,
}


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
