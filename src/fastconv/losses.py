"""Losses, as Keras 3 defines them.

`values_and_gradient` gives the loss of each sample (or pixel) and the gradient of their *sum*; the
training step divides by their number. `prepare` checks and casts the targets of a whole data set
once, so that nothing is checked twice in a step.
"""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv import ops
from fastconv._errors import type_error, value_error
from fastconv.layers.layer import as_numbers

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape

EPSILON = 1e-7
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before their logarithm is taken."""

_REDUCTIONS = ("sum_over_batch_size", "sum", "none", None)


class Loss:
    """Base class of losses.

    Args:
        name: as Keras' by default.
        reduction: "sum_over_batch_size" (the mean), "sum", or "none", which cannot be trained.

    To write a loss, override `values_and_gradient`, and `prepare` if the targets do not have the
    shape of the predictions.
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size"
    ) -> None:
        self.name = name or type(self).__name__
        if reduction not in _REDUCTIONS:
            raise value_error(
                type(self).__name__, "reduction", "is not known", _REDUCTIONS, repr(reduction)
            )
        self.reduction = reduction

    def __call__(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
        """The loss of a batch, computed in float32.

        Returns:
            A float, or with reduction "none" an array with one value a sample.

        Raises:
            ValueError, TypeError: targets that do not fit the predictions.
        """
        predictions = _predictions(self.name, y_pred)
        targets = self.prepare(y_true, predictions.shape)
        if len(targets) != len(predictions):
            rule = "must have as many samples as y_pred"
            raise value_error(self.name, "y_true", rule, len(predictions), len(targets))
        values = self.values_and_gradient(targets, predictions)[0]
        if self.reduction in ("none", None):
            return values
        return float(values.sum(dtype=np.float64)) * self.scale(values.size)

    def scale(self, count: int) -> float:
        """The factor of the sum of `count` values in the loss.

        Raises:
            ValueError: the values are not reduced.
        """
        if self.reduction == "sum":
            return 1.0
        if self.reduction == "sum_over_batch_size":
            return 1.0 / max(count, 1)
        expected = "sum_over_batch_size or sum"
        raise value_error(self.name, "reduction", "cannot be trained", expected, self.reduction)

    def prepare(self, y_true: npt.ArrayLike, output_shape: Shape) -> npt.NDArray[Any]:
        """Targets as float32 of `output_shape` (except the batch), or an error.

        A missing or additional last axis of size 1 is added or dropped, as in Keras.

        Raises:
            ValueError: shapes that do not fit.
            TypeError: targets that are not real numbers.
        """
        targets = as_numbers(self.name, "y_true", y_true)
        targets = match_rank(targets, output_shape)
        if not _fits(targets.shape, output_shape):
            rule = "does not fit the output of the model"
            raise value_error(self.name, "y_true", rule, f"shape {output_shape}", targets.shape)
        return np.ascontiguousarray(targets, np.float32)

    def values_and_gradient(
        self, y_true: npt.NDArray[Any], y_pred: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The loss of each sample, and the gradient of their sum at `y_pred` (a new array).

        Args:
            y_true: what `prepare` returned, or a batch of it.
            y_pred: `(N, ..., C)`.

        Returns:
            `(N, ...)` and `(N, ..., C)` in the dtype of `y_pred`.
        """
        raise NotImplementedError


class MeanSquaredError(Loss):
    """The mean of `(y_true - y_pred)**2` over the last axis."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
    ) -> None:
        super().__init__(name, reduction)

    def values_and_gradient(
        self, y_true: npt.NDArray[Any], y_pred: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        error = y_pred - y_true
        values = np.mean(error * error, axis=-1)
        error *= 2 / y_pred.shape[-1]
        return np.asarray(values), error


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
        if logits.ndim == 2:
            return ops.softmax_cross_entropy(logits, y_true)
        classes = logits.shape[-1]
        rows = self._one_axis(y_true, classes)
        values, gradient = ops.softmax_cross_entropy(logits.reshape(-1, classes), rows)
        return values.reshape(logits.shape[:-1]), gradient.reshape(logits.shape)

    def _one_hot(self, y_true: npt.NDArray[Any], y_pred: FloatArray) -> npt.NDArray[Any]:
        raise NotImplementedError

    def _one_axis(self, y_true: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
        raise NotImplementedError


class CategoricalCrossentropy(CrossEntropy):
    """Cross-entropy with one-hot targets `(N, ..., classes)`, or any weights of classes.

    Args:
        from_logits: whether predictions are logits rather than probabilities.
        reduction, name: as for `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
    ) -> None:
        super().__init__(from_logits, reduction, name)

    def prepare(self, y_true: npt.ArrayLike, output_shape: Shape) -> npt.NDArray[Any]:
        """One-hot targets as float32, or an error."""
        targets = as_numbers(self.name, "y_true", y_true)
        if not _fits(targets.shape, output_shape):
            rule = "does not fit the output of the model (integer labels: sparse_categorical_"
            rule += "crossentropy, or utils.to_categorical)"
            raise value_error(self.name, "y_true", rule, f"shape {output_shape}", targets.shape)
        return np.ascontiguousarray(targets, np.float32)

    def _one_hot(self, y_true: npt.NDArray[Any], y_pred: FloatArray) -> npt.NDArray[Any]:
        return y_true

    def _one_axis(self, y_true: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
        return y_true.reshape(-1, classes)


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
        if not _fits(labels.shape, output_shape[:-1]):
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


def match_rank(array: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """`array` with a last axis of size 1 added or dropped if that gives the rank of `shape`."""
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        return array[..., None]
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        return array[..., 0]
    return array


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        size is None or size == received
        for size, received in zip(expected[1:], shape[1:], strict=True)
    )


def _predictions(name: str, y_pred: npt.ArrayLike) -> FloatArray:
    array = as_numbers(name, "y_pred", y_pred)
    if array.ndim == 0:
        raise value_error(name, "y_pred", "must have axes", "(N, ...)", array.shape)
    return np.ascontiguousarray(array, np.float32)


_NAMES: dict[str, type[Loss]] = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "CategoricalCrossentropy": CategoricalCrossentropy,
    "SparseCategoricalCrossentropy": SparseCategoricalCrossentropy,
    "MeanSquaredError": MeanSquaredError,
}


def get(identifier: str | Loss | type[Loss]) -> Loss:
    """The loss of a name or a class.

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
    if not isinstance(identifier, str):
        rule, expected = "must be a loss", "a name or a Loss, which has a gradient"
        raise type_error("losses.get", "identifier", rule, expected, identifier)
    if identifier not in _NAMES:
        expected = f"one of {', '.join(_NAMES)}"
        raise value_error("losses.get", "identifier", "is not known", expected, identifier)
    return _NAMES[identifier]()
