"""What all losses share: reductions, weights of samples, and the check of targets.

`values_and_gradient` gives the loss of each sample (or pixel) and the gradient of their *sum*; the
training step applies weights and reduction. `prepare` checks and casts the targets of a whole data
set once, so that nothing is checked twice in a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error
from fastconv.configurable import Configurable
from fastconv.layers.layer import as_numbers

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
_REDUCTIONS = (*_MEANS, "sum", "none", None)


class Loss(Configurable):
    """Base class of losses.

    Args:
        name: as Keras' by default.
        reduction: "sum_over_batch_size" or "mean" (the sum over the number of values), "sum",
            "mean_with_sample_weight" (the sum over the sum of the weights), or "none", which cannot
            be trained.

    To write a loss, override `values_and_gradient`, and `prepare` if the targets do not have the
    shape of the predictions.

    Raises:
        ValueError: an unknown reduction.
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

    def __call__(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Any:
        """The loss of a batch, computed in float32.

        Returns:
            A float, or with reduction "none" an array with one value a sample.

        Raises:
            ValueError, TypeError: targets or weights that do not fit the predictions.
        """
        predictions = _predictions(self.name, y_pred)
        targets = self.prepare(y_true, predictions.shape)
        if len(targets) != len(predictions):
            rule = "must have as many samples as y_pred"
            raise value_error(self.name, "y_true", rule, len(predictions), len(targets))
        values = self.values_and_gradient(targets, predictions)[0]
        weights = None
        if sample_weight is not None:
            weights = prepare_weights(self.name, sample_weight, predictions.shape)
            values = values * weights
        if self.reduction in ("none", None):
            return values
        return float(values.sum(dtype=np.float64)) * self.scale(values.size, weights)

    def scale(self, count: int, weights: FloatArray | None = None) -> float:
        """The factor of the (weighted) sum of `count` values in the loss.

        Raises:
            ValueError: the values are not reduced.
        """
        if self.reduction == "sum":
            return 1.0
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            total = float(weights.sum(dtype=np.float64))
            return 1.0 / total if total else 0.0
        if self.reduction in _MEANS:
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
        if not fits(targets.shape, output_shape):
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


def prepare_weights(
    operation: str, sample_weight: npt.ArrayLike, output_shape: Shape
) -> npt.NDArray[np.float32]:
    """Weights as float32, with axes of size 1 added so that they broadcast to the loss' values.

    Args:
        operation: for errors.
        sample_weight: one a sample, `(N,)` or `(N, 1)`, or one for each value of the loss.
        output_shape: of the predictions: the values have all axes but the last.

    Raises:
        ValueError: another shape.
        TypeError: weights that are not real numbers.
    """
    weights = as_numbers(operation, "sample_weight", sample_weight)
    values_ndim = len(output_shape) - 1
    if weights.ndim == values_ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    shape = weights.shape
    fitting = 1 <= weights.ndim <= values_ndim and fits(shape, output_shape[: weights.ndim])
    if not fitting or output_shape[0] not in (None, len(weights)):
        expected = f"shape {output_shape[:1]} or {output_shape[:-1]}"
        rule = "must have one weight a sample, or one for each value of the loss"
        raise value_error(operation, "sample_weight", rule, expected, shape)
    weights = weights.reshape(shape + (1,) * (values_ndim - weights.ndim))
    return np.ascontiguousarray(weights, np.float32)


def match_rank(array: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """`array` with a last axis of size 1 added or dropped if that gives the rank of `shape`."""
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        return array[..., None]
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        return array[..., 0]
    return array


def fits(shape: tuple[int, ...], expected: Shape) -> bool:
    """Whether `shape` has the rank and, after the batch, the known sizes of `expected`."""
    return len(shape) == len(expected) and all(
        size is None or size == received
        for size, received in zip(expected[1:], shape[1:], strict=True)
    )


def _predictions(name: str, y_pred: npt.ArrayLike) -> FloatArray:
    array = as_numbers(name, "y_pred", y_pred)
    if array.ndim == 0:
        raise value_error(name, "y_pred", "must have axes", "(N, ...)", array.shape)
    return np.ascontiguousarray(array, np.float32)
