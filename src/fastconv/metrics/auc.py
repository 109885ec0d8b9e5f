"""The area under the ROC or the precision-recall curve, from counts in buckets."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv import activations
from fastconv._errors import value_error
from fastconv.metrics.confusion import as_entries, divide_or_0
from fastconv.metrics.metric import Metric, broadcast_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

Float64Array = npt.NDArray[np.float64]

_CURVES = ("ROC", "PR")
_SUMMATIONS = ("interpolation", "minoring", "majoring")
_BEYOND = 1e-7
"""How far the first threshold lies below 0 and the last above 1, as in Keras."""


class AUC(Metric):
    """The area under a curve that is sampled at thresholds.

    A prediction is positive at a threshold that it exceeds. All entries of targets and predictions,
    which have one shape, count alike.

    Args:
        num_thresholds: 0, 1 and those evenly spaced between.
        curve: "ROC" (true over false positive rate) or "PR" (precision over recall).
        summation_method: "interpolation" (trapezoids; for "PR" counts are taken to grow linearly
            between thresholds, after Davis and Goadrich (2006), section 4), "minoring" (the lower
            side of each step) or "majoring" (the upper).
        name: made from the class name by default.
        thresholds: in (0, 1), instead of evenly spaced ones.
        multi_label: the mean of one area for each entry of the last axis of `(N, labels)`.
        num_labels: size of that axis; need not be given.
        label_weights: of the areas with `multi_label`, otherwise of the entries of the last axis.
        from_logits: whether predictions are logits, which go through a sigmoid first.

    Raises:
        ValueError: arguments that are out of range or do not go together.

    >>> auc = AUC(num_thresholds=3)
    >>> auc([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.75
    """

    direction = "max"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        self.curve = _one_of("curve", curve, _CURVES)
        self.summation_method = _one_of("summation_method", summation_method, _SUMMATIONS)
        if thresholds is None:
            if num_thresholds < 2:
                expected = "num_thresholds >= 2"
                raise value_error("AUC", "num_thresholds", "is too small", expected, num_thresholds)
            inner = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        else:
            inner = np.sort(np.asarray(thresholds, np.float64).ravel())
            if not np.all((inner > 0) & (inner < 1)):
                rule, expected = "must be inside", "numbers in (0, 1)"
                raise value_error("AUC", "thresholds", rule, expected, thresholds)
        if num_labels and not multi_label:
            rule, expected = "needs multi_label=True", "None"
            raise value_error("AUC", "num_labels", rule, expected, num_labels)
        self._thresholds = np.concatenate([[-_BEYOND], inner, [1 + _BEYOND]])
        self._even = thresholds is None
        self.num_thresholds = self._thresholds.size
        self.multi_label = bool(multi_label)
        self.num_labels = num_labels
        self.label_weights = label_weights
        self.from_logits = bool(from_logits)
        self.reset_state()

    @property
    def thresholds(self) -> list[float]:
        """The thresholds, the first below 0 and the last above 1."""
        return list(map(float, self._thresholds))

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        targets, predictions = as_entries(self, y_true, y_pred)
        self._start(predictions.shape)
        if self.from_logits:
            predictions = activations.sigmoid(predictions.astype(np.float32))
        weights = np.ones(predictions.shape)
        if sample_weight is not None:
            weights = weights * broadcast_weights(sample_weight, predictions.shape)
        if self.label_weights is not None and not self.multi_label:
            weights = weights * np.asarray(self.label_weights)
        buckets = self._buckets(predictions)
        labels = self._positive.shape[1]
        places = buckets.reshape(-1, labels) * labels + np.arange(labels)
        positive = targets.ravel() != 0
        for counts, chosen in ((self._positive, positive), (self._negative, ~positive)):
            added = np.bincount(
                places.ravel()[chosen], weights.ravel()[chosen], self.num_thresholds * labels
            )
            counts += added.reshape(counts.shape)

    def result(self) -> float:
        # A prediction in a bucket exceeds the threshold of its bucket and all before it.
        true_positives = np.cumsum(self._positive[::-1], axis=0)[::-1]
        false_positives = np.cumsum(self._negative[::-1], axis=0)[::-1]
        positives, negatives = self._positive.sum(axis=0), self._negative.sum(axis=0)
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = _interpolated_area(true_positives, false_positives, positives)
        else:
            recall = divide_or_0(true_positives, positives)
            if self.curve == "ROC":
                x, y = divide_or_0(false_positives, negatives), recall
            else:
                x, y = recall, divide_or_0(true_positives, true_positives + false_positives)
            areas = np.sum((x[:-1] - x[1:]) * self._heights(y), axis=0)
        if self.multi_label and self.label_weights is not None:
            return float(np.average(areas, weights=self.label_weights))
        return float(areas.mean())

    def reset_state(self) -> None:
        labels = self.num_labels or 1
        self._positive: Float64Array = np.zeros((self.num_thresholds, labels))
        self._negative: Float64Array = np.zeros((self.num_thresholds, labels))

    def get_config(self) -> dict[str, Any]:
        thresholds = None if self._even else self.thresholds[1:-1]
        return {**super().get_config(), "thresholds": thresholds}

    def _start(self, shape: tuple[int, ...]) -> None:
        """Have the counts fit predictions of this shape."""
        if not self.multi_label:
            return
        if len(shape) != 2 or (self.num_labels is not None and shape[1] != self.num_labels):
            expected = f"shape (N, {self.num_labels or 'labels'})"
            rule = "does not fit multi_label=True"
            raise value_error("AUC", "y_pred", rule, expected, shape)
        if self.num_labels is None:
            self.num_labels = shape[1]
            self.reset_state()

    def _buckets(self, predictions: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """For each prediction the number of the last threshold that it exceeds."""
        inside = np.clip(np.nan_to_num(predictions.astype(np.float32), nan=0.0), 0, 1)
        if not self._even:
            limits = self._thresholds.astype(np.float32)
            return np.asarray(np.searchsorted(limits, inside, side="left") - 1)
        scaled = np.ceil(inside * np.float32(self.num_thresholds - 1)).astype(np.intp)
        return np.asarray(np.maximum(scaled - 1, 0))

    def _heights(self, y: Float64Array) -> Float64Array:
        if self.summation_method == "minoring":
            return np.minimum(y[:-1], y[1:])
        if self.summation_method == "majoring":
            return np.maximum(y[:-1], y[1:])
        return (y[:-1] + y[1:]) / 2


def _interpolated_area(
    true_positives: Float64Array, false_positives: Float64Array, positives: Float64Array
) -> Float64Array:
    """The area under the PR curve where both counts grow linearly between thresholds a and b.

    With P = tp + fp and s = dtp / dP the precision at P is (tp_b + s * (P - P_b)) / P, and recall
    grows by s * dP / positives. The integral over P from P_b to P_a is
    s * (dtp + (tp_b - s * P_b) * log(P_a / P_b)) / positives; where P_b is 0, precision is s.
    """
    predicted = true_positives + false_positives
    gained = true_positives[:-1] - true_positives[1:]
    slope = divide_or_0(gained, predicted[:-1] - predicted[1:])
    intercept = true_positives[1:] - slope * predicted[1:]
    ratio = np.ones_like(slope)
    np.divide(predicted[:-1], predicted[1:], out=ratio, where=predicted[1:] > 0)
    area = slope * (gained + intercept * np.log(ratio))
    return np.asarray(np.sum(divide_or_0(area, positives), axis=0))


def _one_of(argument: str, value: str, known: tuple[str, ...]) -> str:
    for name in known:
        if isinstance(value, str) and value.lower() == name.lower():
            return name
    raise value_error("AUC", argument, "is not known", f"one of {', '.join(known)}", repr(value))
