"""Callbacks that end training early."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastconv.callbacks.callback import Callback, Logs
from fastconv.callbacks.monitor import MonitorCallback
from fastconv.console import say

if TYPE_CHECKING:
    from fastconv.layers.variable import Float32Array


class EarlyStopping(MonitorCallback):
    """Ends training when a figure has stopped becoming better.

    Args:
        monitor: name of the figure.
        min_delta: a change of less than this is none.
        patience: epochs without a better figure after which training ends.
        verbose: 1 to say when that happens.
        mode: "min", "max", or "auto" to know from the name.
        baseline: a figure that has to be beaten as well, for the epochs not to count.
        restore_best_weights: whether to end with the weights of the best epoch.
        start_from_epoch: epochs before that are not looked at.

    Attributes:
        best, best_epoch: the best figure and its epoch; None before there is one.
        stopped_epoch: when training was ended; 0 if it was not.

    Raises:
        ValueError: an unknown mode.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.best_weights: list[Float32Array] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = self.best_epoch = self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.monitored(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.better(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                say(f"Restoring the weights of the best epoch: {(self.best_epoch or 0) + 1}")
            self.model.set_weights(self.best_weights)

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()


class TerminateOnNaN(Callback):
    """Ends training at the batch after which the running loss is NaN or infinite.

    Args:
        raise_error: whether to raise instead, so that no other callback sees an end.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss.

        Raises:
            RuntimeError: it is not finite, and `raise_error` is set.
        """
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"batch {batch}: the loss is {loss}; training ends")
        say(f"Batch {batch}: the loss is {loss}; training ends")
        self.model.stop_training = True
