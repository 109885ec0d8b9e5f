"""Losses of numbers: means over the last axis of a function of the error."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error
from fastconv.losses.loss import Loss

if TYPE_CHECKING:
    from fastconv._types import FloatArray


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


class MeanAbsoluteError(Loss):
    """The mean of `|y_true - y_pred|` over the last axis; its gradient is 0 where they are equal.

    >>> MeanAbsoluteError()([[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]])
    0.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
    ) -> None:
        super().__init__(name, reduction)

    def values_and_gradient(
        self, y_true: npt.NDArray[Any], y_pred: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        error = y_pred - y_true
        values = np.mean(np.abs(error), axis=-1)
        np.sign(error, out=error)
        error /= y_pred.shape[-1]
        return np.asarray(values), error


class Huber(Loss):
    """The mean over the last axis of `e**2 / 2` where `|e| <= delta`, else `delta (|e| - delta/2)`.

    Source: Huber (1964).

    Args:
        delta: > 0, the error from which on the loss grows linearly.
        reduction, name: as for `Loss`.

    Raises:
        ValueError: a delta that is not positive.
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
    ) -> None:
        super().__init__(name, reduction)
        if not 0 < delta < math.inf:
            raise value_error("Huber", "delta", "must be positive", "> 0", delta)
        self.delta = float(delta)

    def values_and_gradient(
        self, y_true: npt.NDArray[Any], y_pred: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        error = y_pred - y_true
        # With c = e clipped to [-delta, delta] both branches are c (e - c / 2), and c the slope.
        slope = np.clip(error, -self.delta, self.delta)
        error -= slope / 2
        values = np.mean(slope * error, axis=-1)
        slope /= y_pred.shape[-1]
        return np.asarray(values), slope
