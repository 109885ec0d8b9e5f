"""A callback that saves the model as it trains."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import os

from fastconv._errors import value_error
from fastconv.callbacks.callback import Logs
from fastconv.callbacks.monitor import MonitorCallback
from fastconv.console import say


class ModelCheckpoint(MonitorCallback):
    """Saves the model, or its weights, after epochs or batches.

    Args:
        filepath: ends in ".keras", or in ".weights.h5" with `save_weights_only`. It is a format:
            "{epoch:02d}-{val_loss:.2f}.keras" has the number of the epoch, from 1, and figures.
            Folders are made as needed.
        monitor: name of the figure for `save_best_only`.
        verbose: 1 to say what is saved.
        save_best_only: whether to save only when the figure is the best so far.
        save_weights_only: whether to call `model.save_weights` instead of `model.save`.
        mode: "min", "max", or "auto" to know from the name.
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: a figure that the first to be saved has to beat.

    Attributes:
        best: the best figure so far.

    Raises:
        ValueError: arguments that are not known or do not go together.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        ending = ".weights.h5" if save_weights_only else ".keras"
        if not self.filepath.endswith(ending):
            rule, expected = "has the wrong ending", f"a path that ends in {ending}"
            raise value_error("ModelCheckpoint", "filepath", rule, expected, self.filepath)
        if save_freq != "epoch" and (not isinstance(save_freq, int) or save_freq < 1):
            expected = '"epoch" or a number of batches'
            raise value_error("ModelCheckpoint", "save_freq", "is not known", expected, save_freq)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.best = initial_value_threshold
        self._epoch = 0
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:  # noqa: ARG002
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches % int(self.save_freq) == 0:
            self._save({**(logs or {}), "batch": batch + 1})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:  # noqa: ARG002
        if self.save_freq == "epoch":
            self._save(logs or {})

    def _save(self, logs: Logs) -> None:
        title = f"Epoch {self._epoch + 1}"
        if self.save_best_only:
            value = self.monitored(logs)
            # Without the figure every model is saved, as in Keras.
            if value is not None:
                if not self.better(value, self.best):
                    if self.verbose:
                        say(f"{title}: {self.monitor} is not better than {self.best:.5f}")
                    return
                title += f": {self.monitor} is now {value:.5f}"
                self.best = value
        from pathlib import Path

        try:
            path = Path(self.filepath.format(**{**logs, "epoch": self._epoch + 1}))
        except (KeyError, IndexError) as error:
            rule, expected = "names a figure that is not there", ", ".join(["epoch", *logs])
            raise value_error(
                "ModelCheckpoint", "filepath", rule, expected, self.filepath
            ) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose:
            say(f"{title}: saved {path}")
