"""Precision and recall: counts of right and wrong positives at thresholds."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error
from fastconv.losses import match_rank
from fastconv.metrics.metric import Metric, broadcast_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = npt.NDArray[Any]


class ThresholdMetric(Metric):
    """Counts over all entries of `y_true` and `y_pred`, which have one shape.

    An entry is predicted positive if it is above the threshold; it is positive if its target is
    not 0.

    Args:
        thresholds: in [0, 1], 0.5 by default; a sequence gives an array of results.
        top_k: count only the k largest predictions of a sample as positive; without `thresholds`
            all of them.
        class_id: look at this entry of the last axis alone.
        name: made from the class name by default.

    Attributes:
        true_positives, false_positives, false_negatives: float64, one for each threshold.

    Raises:
        ValueError: arguments out of range.
    """

    direction = "max"

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        title = type(self).__name__
        default = 0.5 if top_k is None else -np.inf
        given = np.atleast_1d(np.asarray(default if thresholds is None else thresholds, np.float64))
        if thresholds is not None and not np.all((given >= 0) & (given <= 1)):
            rule, expected = "must be probabilities", "numbers in [0, 1]"
            raise value_error(title, "thresholds", rule, expected, thresholds)
        if top_k is not None and top_k < 1:
            raise value_error(title, "top_k", "is out of range", "top_k >= 1", top_k)
        if class_id is not None and class_id < 0:
            raise value_error(title, "class_id", "is out of range", "class_id >= 0", class_id)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        # Compared in the precision of predictions, as Keras does.
        self._limits = given.astype(np.float32)
        self.reset_state()

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        targets, predictions = as_entries(self, y_true, y_pred)
        if self.top_k is not None:
            predictions = _only_top_k(predictions, self.top_k)
        if self.class_id is not None:
            classes = predictions.shape[-1]
            if self.class_id >= classes:
                title, expected = type(self).__name__, f"class_id < {classes}"
                raise value_error(title, "class_id", "is out of range", expected, self.class_id)
            targets, predictions = targets[..., self.class_id], predictions[..., self.class_id]
        positives = targets != 0
        weights = None
        if sample_weight is not None:
            weights = broadcast_weights(sample_weight, positives.shape)
        for index, limit in enumerate(self._limits):
            predicted = predictions > limit
            right = _count(positives & predicted, weights)
            self.true_positives[index] += right
            self.false_positives[index] += _count(predicted, weights) - right
            self.false_negatives[index] += _count(positives, weights) - right

    def reset_state(self) -> None:
        count = self._limits.size
        self.true_positives = np.zeros(count)
        self.false_positives = np.zeros(count)
        self.false_negatives = np.zeros(count)

    def _share(self, others: npt.NDArray[np.float64]) -> Any:
        shares = divide_or_0(self.true_positives, self.true_positives + others)
        return float(shares[0]) if shares.size == 1 else shares


class Precision(ThresholdMetric):
    """Which share of the entries predicted positive is so: `tp / (tp + fp)`, 0 if there are none.

    With one-hot targets and a softmax an entry is one class of one sample. Args, Raises: as
    `ThresholdMetric`.

    >>> Precision()([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """

    def result(self) -> Any:
        return self._share(self.false_positives)


class Recall(ThresholdMetric):
    """Which share of the positive entries is predicted so: `tp / (tp + fn)`, 0 if there are none.

    With one-hot targets and a softmax an entry is one class of one sample. Args, Raises: as
    `ThresholdMetric`.

    >>> Recall()([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """

    def result(self) -> Any:
        return self._share(self.false_negatives)


def as_entries(metric: Metric, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Targets and predictions in one shape, the predictions as floats.

    Raises:
        ValueError: targets in another shape, a missing or additional axis of size 1 aside.
    """
    predictions = np.asarray(y_pred)
    if predictions.dtype.kind != "f":
        predictions = predictions.astype(np.float32)
    targets = match_rank(np.asarray(y_true), predictions.shape)
    if targets.shape != predictions.shape:
        rule = "must have the shape of y_pred (labels of classes: utils.to_categorical, and the "
        rule += "loss categorical_crossentropy)"
        title = type(metric).__name__
        raise value_error(title, "y_true", rule, predictions.shape, targets.shape)
    return targets, predictions


def divide_or_0(
    numerator: npt.NDArray[np.float64], denominator: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The quotient, 0 where the denominator is 0."""
    zeros = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    return np.divide(numerator, denominator, out=zeros, where=denominator != 0)


def _count(entries: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64] | None) -> float:
    if weights is None:
        return float(np.count_nonzero(entries))
    return float(np.sum(weights, where=entries))


def _only_top_k(predictions: Array, k: int) -> Array:
    """The k largest of the last axis, the first of equal ones; -inf elsewhere."""
    order = np.argsort(-predictions, axis=-1, kind="stable")[..., :k]
    kept = np.full_like(predictions, -np.inf)
    np.put_along_axis(kept, order, np.take_along_axis(predictions, order, axis=-1), axis=-1)
    return kept
