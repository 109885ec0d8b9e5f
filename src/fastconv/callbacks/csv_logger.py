"""A callback that writes the figures of the epochs to a file."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import os
from typing import Any

import numpy as np

from fastconv.callbacks.callback import Callback, Logs


class CSVLogger(Callback):
    """Writes a row an epoch: its number, from 0, and the figures in the order of their names.

    The columns are those of the first epoch, with "val_" ones beside them if it had no validation;
    what an epoch lacks is "NA". Each row is in the file as soon as its epoch ends.

    Args:
        filename: of the file.
        separator: between columns.
        append: whether to go on with a file that is there.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.keys: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.keys = None
        if not self.append:
            from pathlib import Path

            Path(self.filename).write_text("")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import csv
        from pathlib import Path

        figures = logs or {}
        if self.keys is None:
            self.keys = sorted(figures)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]
        path = Path(self.filename)
        new = not path.exists() or not path.stat().st_size
        with path.open("a", newline="") as file:
            writer = csv.writer(file, delimiter=self.sep)
            if new:
                writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(_cell(figures.get(key, "NA")) for key in self.keys)])


def _cell(value: Any) -> Any:
    """A list for a figure with several values."""
    return f"[{', '.join(map(str, np.ravel(value)))}]" if np.ndim(value) else value
