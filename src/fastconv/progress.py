"""What `fit`, `evaluate` and `predict` show: a bar in a terminal, else one line an epoch."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fastconv._errors import value_error
from fastconv.callbacks import Callback, Logs
from fastconv.console import Bar, in_notebook, make_bar

_SECONDS_BETWEEN_DRAWS = 0.1
_SECONDS_BETWEEN_DRAWS_IN_A_NOTEBOOK = 0.5
"""A notebook passes every drawing on to the browser as a message."""


class ProgressDisplay(Callback):
    """Progress of a run on standard output.

    Args:
        verbose: "auto" or 1: a bar where standard output is a terminal (by rich if that is
            installed) or a notebook, else as 2. 2: one line an epoch. 0: nothing; leave the
            callback out.

    Raises:
        ValueError: another value.
    """

    def __init__(self, verbose: str | int = "auto") -> None:
        check_verbose("ProgressDisplay", verbose)
        self._bars = verbose in ("auto", 1)
        self._bar: Bar | None = None
        self._training = False
        self._pause = _SECONDS_BETWEEN_DRAWS

    def close(self) -> None:
        """Remove what is not finished, such as the bar of an epoch that was interrupted."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._training = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start(f"Epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._training:
            self._start("Evaluate")

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._training:
            self._advance(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._training:
            self._finish(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._start("Predict")

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish(None)

    def _start(self, title: str) -> None:
        self._title = title
        self._begin = self._drawn = time.perf_counter()
        self._seconds: float | None = None
        self._batches = 0
        self._bar = make_bar(title, self.params["steps"]) if self._bars else None
        notebook = _SECONDS_BETWEEN_DRAWS_IN_A_NOTEBOOK
        self._pause = notebook if in_notebook() else _SECONDS_BETWEEN_DRAWS

    def _advance(self, batch: int, logs: Logs | None) -> None:
        now = time.perf_counter()
        self._batches = batch + 1
        steps = self.params["steps"]
        last = steps is not None and batch + 1 >= steps
        self._seconds = now - self._begin
        if self._bar is None or (now - self._drawn < self._pause and not last):
            return
        self._drawn = now
        text = self._rate(now - self._begin)
        if steps is not None:
            left = (now - self._begin) * (steps / (batch + 1) - 1)
            text += f" - {_seconds(left)} left"
        self._bar.draw(batch + 1, text + _figures(logs))

    def _finish(self, logs: Logs | None) -> None:
        total = time.perf_counter() - self._begin
        # The rate is that of the batches, without the validation that follows them.
        rate = self._rate(self._seconds or total)
        self.close()
        print(f"{self._title} - {_seconds(total)} - {rate}{_figures(logs)}", flush=True)

    def _rate(self, seconds: float) -> str:
        steps, samples = self.params["steps"], self.params["samples"]
        if steps is None or samples is None:
            return f"{self._batches / max(seconds, 1e-9):,.0f} batches/s"
        return f"{samples * self._batches / steps / max(seconds, 1e-9):,.0f} images/s"


def check_verbose(operation: str, verbose: str | int) -> None:
    """Refuse anything but "auto", 0, 1 and 2."""
    if verbose not in ("auto", 0, 1, 2):
        raise value_error(operation, "verbose", "is not known", '"auto", 0, 1 or 2', repr(verbose))


def _figures(logs: Logs | None) -> str:
    def shown(value: Any) -> str:
        if np.ndim(value):
            return f"[{', '.join(map(shown, value))}]"
        return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}"

    return "".join(f" - {name}: {shown(value)}" for name, value in (logs or {}).items())


def _seconds(value: float) -> str:
    """A duration for people.

    >>> _seconds(3.21), _seconds(75), _seconds(3675)
    ('3.2 s', '1:15', '1:01:15')
    """
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
