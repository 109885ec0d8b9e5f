"""Cross-entropies: of classes, from one-hot targets or labels, and of independent bits."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv import _core, activations
from fastconv._errors import type_error, value_error
from fastconv.layers.layer import as_numbers
from fastconv.losses.loss import Loss, fits

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape

EPSILON = 1e-7
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before their logarithm is taken."""


class CrossEntropy(Loss):
    """What the categorical cross-entropies share.

    From probabilities p the loss is `-sum(t * log(clip(p / sum(p))))`, clipped to [1e-7, 1 - 1e-7];
    the gradient is 0 where p was clipped. From logits it is computed by log-sum-exp.

    A model that ends in softmax is trained and evaluated through its logits. That is the same
    function, without the clipping: only where a probability is below 1e-7 (a loss above 16.1) does
    the result differ from the formula on probabilities.
    """

    def __init__(self, from_logits: bool, reduction: str | None, name: str | None) -> None:
        super().__init__(name, reduction)
        self.from_logits = bool(from_logits)

    def values_and_gradient(
        self, y_true: npt.NDArray[Any], y_pred: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        if self.from_logits:
            return self.values_and_gradient_from_logits(y_true, y_pred)
        total = y_pred.sum(axis=-1, keepdims=True)
        share = y_pred / total
        inside = (share > EPSILON) & (share < 1 - EPSILON)
        np.clip(share, EPSILON, 1 - EPSILON, out=share)
        target = self._one_hot(y_true, y_pred)
        values = -np.sum(target * np.log(share), axis=-1)
        # d/dy_j of -sum_c t_c log(y_c / sum(y)), over the classes c that are not clipped.
        active = target * inside
        gradient = active.sum(axis=-1, keepdims=True) / total
        return values, gradient - np.divide(active, y_pred, out=np.zeros_like(y_pred), where=inside)

    def values_and_gradient_from_logits(
        self, y_true: npt.NDArray[Any], logits: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """`values_and_gradient` where `logits` are what softmax would be applied to."""
        shape, dtype = logits.shape, logits.dtype
        logits = np.ascontiguousarray(logits)
        targets = self._one_axis(y_true, shape[-1])
        values, gradient = _core.empty(shape[:-1], dtype), _core.empty(shape, dtype)
        if len(shape) == 2:
            _core.softmax_cross_entropy(logits, targets, values, gradient, 0)
        else:
            rows = logits.reshape(-1, shape[-1]), targets, values.reshape(-1)
            _core.softmax_cross_entropy(*rows, gradient.reshape(-1, shape[-1]), 0)
        return values, gradient

    def _one_hot(self, y_true: npt.NDArray[Any], y_pred: FloatArray) -> npt.NDArray[Any]:
        raise NotImplementedError

    def _one_axis(self, y_true: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
        """Targets for logits `(rows, classes)`."""
        raise NotImplementedError


class CategoricalCrossentropy(CrossEntropy):
    """Cross-entropy with one-hot targets `(N, ..., classes)`, or any weights of classes.

    Args:
        from_logits: whether predictions are logits rather than probabilities.
        label_smoothing: s in [0, 1]: targets become `(1 - s) * t + s / classes`.
        reduction, name: as for `Loss`.

    Raises:
        ValueError: a smoothing out of range.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
    ) -> None:
        super().__init__(from_logits, reduction, name)
        self.label_smoothing = _checked_smoothing(type(self).__name__, label_smoothing)

    def prepare(self, y_true: npt.ArrayLike, output_shape: Shape) -> npt.NDArray[Any]:
        """One-hot targets as float32, or an error."""
        targets = as_numbers(self.name, "y_true", y_true)
        if not fits(targets.shape, output_shape):
            rule = "does not fit the output of the model (integer labels: sparse_categorical_"
            rule += "crossentropy, or utils.to_categorical)"
            raise value_error(self.name, "y_true", rule, f"shape {output_shape}", targets.shape)
        return np.ascontiguousarray(targets, np.float32)

    def _one_hot(self, y_true: npt.NDArray[Any], y_pred: FloatArray) -> npt.NDArray[Any]:
        return self._smoothed(y_true)

    def _one_axis(self, y_true: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
        return self._smoothed(y_true).reshape(-1, classes)

    def _smoothed(self, y_true: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not self.label_smoothing:
            return y_true
        smoothing = self.label_smoothing
        return np.asarray(y_true * (1 - smoothing) + smoothing / y_true.shape[-1])


class SparseCategoricalCrossentropy(CrossEntropy):
    """Cross-entropy with integer labels `(N, ...)`, 0 <= label < classes.

    Args:
        from_logits: whether predictions are logits rather than probabilities.
        reduction, name: as for `Loss`.

    >>> loss = SparseCategoricalCrossentropy()
    >>> round(loss([1, 2], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]]), 3)
    1.177
    """

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(from_logits, reduction, name)

    def prepare(self, y_true: npt.ArrayLike, output_shape: Shape) -> npt.NDArray[Any]:
        """Labels as int64 without an axis of classes, or an error.

        A last axis of size 1 is dropped; labels in a float dtype are taken if they are whole.
        """
        labels = as_numbers(self.name, "y_true", y_true)
        if labels.ndim == len(output_shape) and labels.shape[-1] == 1:
            labels = labels[..., 0]
        if not fits(labels.shape, output_shape[:-1]):
            rule = "does not fit the output of the model (one-hot targets: categorical_"
            rule += "crossentropy)"
            expected = f"labels of shape {output_shape[:-1]}"
            raise value_error(self.name, "y_true", rule, expected, labels.shape)
        if labels.dtype.kind == "f" and not np.all(labels == np.floor(labels)):
            raise type_error(self.name, "y_true", "must be whole", "integer labels", labels.dtype)
        classes = output_shape[-1]
        if labels.size and classes is not None:
            smallest, largest = labels.min(), labels.max()
            if smallest < 0 or largest >= classes:
                rule, expected = "holds a label out of range", f"0 <= label < {classes}"
                raise value_error(self.name, "y_true", rule, expected, f"{smallest} .. {largest}")
        return np.ascontiguousarray(labels, np.int64)

    def _one_hot(self, y_true: npt.NDArray[Any], y_pred: FloatArray) -> npt.NDArray[Any]:
        hot: npt.NDArray[np.bool_] = y_true[..., None] == np.arange(y_pred.shape[-1])
        return hot.astype(y_pred.dtype)

    def _one_axis(self, y_true: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
        return y_true.reshape(-1)


class BinaryCrossentropy(Loss):
    """Cross-entropy of bits that are independent: `-mean(t log p + (1 - t) log(1 - p))`.

    The mean is over the last axis. Probabilities are clipped to [1e-7, 1 - 1e-7], where the
    gradient is 0. From logits x it is `mean(max(x, 0) - x t + log(1 + exp(-|x|)))`.

    Args:
        from_logits: whether predictions are logits rather than probabilities.
        label_smoothing: s in [0, 1]: targets become `(1 - s) * t + s / 2`.
        reduction, name: as for `Loss`.

    >>> loss = BinaryCrossentropy(from_logits=True)
    >>> round(loss([[0, 1], [0, 0]], [[-18.6, 0.51], [2.94, -12.8]]), 3)
    0.865

    Raises:
        ValueError: a smoothing out of range.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits = bool(from_logits)
        self.label_smoothing = _checked_smoothing(type(self).__name__, label_smoothing)

    def values_and_gradient(
        self, y_true: npt.NDArray[Any], y_pred: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        if self.label_smoothing:
            y_true = y_true * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.from_logits:
            bits = np.maximum(y_pred, 0) - y_pred * y_true + np.log1p(np.exp(-np.abs(y_pred)))
            gradient = activations.sigmoid(y_pred)
            gradient -= y_true
        else:
            share = np.clip(y_pred, EPSILON, 1 - EPSILON)
            rest = 1 - share
            bits = (y_true - 1) * np.log(rest) - y_true * np.log(share)
            gradient = np.where(share == y_pred, (share - y_true) / (share * rest), 0)
        gradient /= y_pred.shape[-1]
        return np.asarray(np.mean(bits, axis=-1)), gradient.astype(y_pred.dtype, copy=False)


def _checked_smoothing(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        rule, expected = "is out of range", "0 <= label_smoothing <= 1"
        raise value_error(name, "label_smoothing", rule, expected, value)
    return float(value)
