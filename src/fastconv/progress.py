"""What `fit`, `evaluate` and `predict` show: a bar in a terminal, else one line an epoch."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import sys
import time
from typing import Any, Protocol, TextIO

from fastconv._errors import value_error
from fastconv.callbacks import Callback, Logs

_SECONDS_BETWEEN_DRAWS = 0.1
_BAR_WIDTH = 24


class ProgressDisplay(Callback):
    """Progress of a run on standard output.

    Args:
        verbose: "auto" or 1: a bar where standard output is a terminal (by rich if that is
            installed), else as 2. 2: one line an epoch. 0: nothing; leave the callback out.

    Raises:
        ValueError: another value.
    """

    def __init__(self, verbose: str | int = "auto") -> None:
        check_verbose("ProgressDisplay", verbose)
        self._bars = verbose in ("auto", 1)
        self._bar: Bar | None = None
        self._training = False

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
        self._advance(batch, logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish(logs)

    def _start(self, title: str) -> None:
        self._title = title
        self._begin = self._drawn = time.perf_counter()
        self._seconds: float | None = None
        self._bar = make_bar(title, self.params["steps"]) if self._bars else None

    def _advance(self, batch: int, logs: Logs | None) -> None:
        now = time.perf_counter()
        last = batch + 1 >= self.params["steps"]
        if last:
            self._seconds = now - self._begin
        if self._bar is None or (now - self._drawn < _SECONDS_BETWEEN_DRAWS and not last):
            return
        self._drawn = now
        share = (batch + 1) / self.params["steps"]
        rate = share * self.params["samples"] / max(now - self._begin, 1e-9)
        left = (now - self._begin) * (1 - share) / share
        self._bar.draw(batch + 1, f"{rate:,.0f} images/s - {_seconds(left)} left{_figures(logs)}")

    def _finish(self, logs: Logs | None) -> None:
        total = time.perf_counter() - self._begin
        # The rate is that of the batches, without the validation that follows them.
        rate = self.params["samples"] / max(self._seconds or total, 1e-9)
        line = f"{self._title} - {_seconds(total)} - {rate:,.0f} images/s{_figures(logs)}"
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        print(line, flush=True)


class Bar(Protocol):
    """A bar that is drawn over itself and gone after `close`."""

    def draw(self, step: int, text: str) -> None:
        """Show that `step` steps are done."""

    def close(self) -> None:
        """Remove the bar."""


def make_bar(title: str, steps: int) -> Bar | None:
    """The best bar that there is for standard output; None if it is no terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        return RichBar(title, steps)
    except ImportError:
        return TextBar(title, steps, sys.stdout)


class TextBar:
    """A bar of plain characters."""

    def __init__(self, title: str, steps: int, stream: TextIO) -> None:
        self._title = title
        self._steps = steps
        self._stream = stream
        self._width = 0

    def draw(self, step: int, text: str) -> None:
        """Show that `step` steps are done."""
        filled = _BAR_WIDTH * step // self._steps
        bar = "=" * filled + "." * (_BAR_WIDTH - filled)
        line = f"{self._title} [{bar}] {step}/{self._steps} - {text}"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def close(self) -> None:
        """Remove the bar."""
        self._stream.write("\r" + " " * self._width + "\r")
        self._stream.flush()


class RichBar:
    """A bar of rich.

    Raises:
        ImportError: rich is not installed.
    """

    def __init__(self, title: str, steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress: Any = Progress(
            TextColumn("{task.description}"),
            BarColumn(_BAR_WIDTH),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(title, total=steps, text="")
        self._progress.start()

    def draw(self, step: int, text: str) -> None:
        """Show that `step` steps are done."""
        self._progress.update(self._task, completed=step, text=text, refresh=True)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def check_verbose(operation: str, verbose: str | int) -> None:
    """Refuse anything but "auto", 0, 1 and 2."""
    if verbose not in ("auto", 0, 1, 2):
        raise value_error(operation, "verbose", "is not known", '"auto", 0, 1 or 2', repr(verbose))


def _figures(logs: Logs | None) -> str:
    def shown(value: float) -> str:
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
