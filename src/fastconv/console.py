"""Bars that show progress on standard output, and lines that do not disturb them."""

from __future__ import annotations

import sys
from typing import Any, Protocol, TextIO

_BAR_WIDTH = 24


class Bar(Protocol):
    """A bar that is drawn over itself and gone after `close`."""

    def draw(self, step: int, text: str) -> None:
        """Show that `step` steps are done."""

    def close(self) -> None:
        """Remove the bar."""


def make_bar(title: str, steps: int | None) -> Bar | None:
    """The best bar that there is for standard output; None if nobody watches it.

    Args:
        title: shown before the bar.
        steps: number of steps; None if it is not known.
    """
    if in_notebook():
        return TextBar(title, steps, sys.stdout)
    if not sys.stdout.isatty():
        return None
    try:
        return RichBar(title, steps)
    except ImportError:
        return TextBar(title, steps, sys.stdout)


def in_notebook() -> bool:
    """Whether standard output is the cell of a notebook, where a line can be drawn over too."""
    return type(sys.stdout).__module__.partition(".")[0] == "ipykernel"


def say(line: str) -> None:
    """Print a line; a bar that is shown is drawn again below it."""
    if _shown:
        _shown[-1].erase()
    print(line, flush=True)


class TextBar:
    """A bar of plain characters."""

    def __init__(self, title: str, steps: int | None, stream: TextIO) -> None:
        self._title = title
        self._steps = steps
        self._stream = stream
        self._width = 0
        _shown.append(self)

    def draw(self, step: int, text: str) -> None:
        """Show that `step` steps are done."""
        if self._steps is None:
            line = f"{self._title} {step} - {text}"
        else:
            filled = _BAR_WIDTH * step // self._steps
            bar = "=" * filled + "." * (_BAR_WIDTH - filled)
            line = f"{self._title} [{bar}] {step}/{self._steps} - {text}"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def erase(self) -> None:
        """Clear the line."""
        self._stream.write("\r" + " " * self._width + "\r")
        self._stream.flush()
        self._width = 0

    def close(self) -> None:
        """Remove the bar."""
        self.erase()
        if self in _shown:
            _shown.remove(self)


_shown: list[TextBar] = []
"""The bars that share a line with whatever is printed; rich sees to its own."""


class RichBar:
    """A bar of rich.

    Raises:
        ImportError: rich is not installed.
    """

    def __init__(self, title: str, steps: int | None) -> None:
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
