"""Mean errors of numbers."""

from __future__ import annotations

from fastconv.losses import mean_absolute_error, mean_squared_error
from fastconv.metrics.metric import MeanMetricWrapper


class MeanSquaredError(MeanMetricWrapper):
    """The mean of `(y_true - y_pred)**2`.

    >>> MeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]])
    0.25
    """

    direction = "min"

    def __init__(self, name: str | None = "mean_squared_error") -> None:
        super().__init__(mean_squared_error, name)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of `|y_true - y_pred|`.

    >>> MeanAbsoluteError()([[0, 1], [0, 0]], [[3, 1], [0, 0]])
    0.75
    """

    direction = "min"

    def __init__(self, name: str | None = "mean_absolute_error") -> None:
        super().__init__(mean_absolute_error, name)
