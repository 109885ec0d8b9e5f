"""What the callbacks that watch one figure share."""

from __future__ import annotations

import math
import warnings
from typing import Literal

from fastconv._errors import value_error
from fastconv.callbacks.callback import Callback, Logs


class MonitorCallback(Callback):
    """A callback that asks after each epoch whether a figure has become better.

    Args:
        monitor: name of the figure.
        mode: "min" or "max" says what is better; "auto" takes it from the metric of that name.
        min_delta: a change of less than this is none.

    Raises:
        ValueError: an unknown mode.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            expected = '"auto", "min" or "max"'
            raise value_error(type(self).__name__, "mode", "is not known", expected, repr(mode))
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)

    def monitored(self, logs: Logs | None) -> float | None:
        """The figure; None, with a warning, if it is not there."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            known = ", ".join(logs or {})
            message = f"{type(self).__name__}: {self.monitor} is not available, only {known}"
            warnings.warn(message, stacklevel=2)
        return value

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` is better than `than` by `min_delta`; NaN never is, all is than None.

        Raises:
            ValueError: it is not known what better is.
        """
        sign = 1 if self.direction() == "max" else -1
        if math.isnan(value):
            return False
        return than is None or sign * (value - than) > self.min_delta

    def direction(self) -> Literal["min", "max"]:
        """Whether a large or a small figure is better.

        Raises:
            ValueError: it is not known.
        """
        if self.mode != "auto":
            return "max" if self.mode == "max" else "min"
        name = self.monitor.removeprefix("val_")
        if name == "loss" or name.endswith("_loss"):
            return "min"
        for metric in self.model.metrics:
            # With several outputs the name of one of them is before that of the metric.
            known = name == metric.name or name.endswith(f"_{metric.name}")
            if known and metric.direction is not None:
                return metric.direction
        title, rule = type(self).__name__, f"cannot be auto for {self.monitor}"
        expected = '"min" or "max" for a figure that is no metric of fastconv'
        raise value_error(title, "mode", rule, expected, repr(self.mode))
