"""Callbacks that set the learning rate from one epoch to the next."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import inspect
from collections.abc import Callable

from fastconv._errors import value_error
from fastconv.callbacks.callback import Callback, Logs
from fastconv.callbacks.monitor import MonitorCallback
from fastconv.console import say
from fastconv.optimizers import Optimizer


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of every epoch; adds it to the logs at the end.

    Args:
        schedule: a function of `(epoch, learning_rate)`, or of `(epoch)`, that gives a float.
        verbose: 1 to say what is set.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = _optimizer(self)
        arguments = (epoch, optimizer.learning_rate) if self._takes_rate else (epoch,)
        optimizer.learning_rate = self.schedule(*arguments)
        if self.verbose:
            say(f"Epoch {epoch + 1}: the learning rate is {optimizer.learning_rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = _optimizer(self).learning_rate


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a figure has stopped becoming better; adds it to the logs.

    Args:
        monitor: name of the figure.
        factor: in (0, 1); the rate is multiplied by it.
        patience: epochs without a better figure after which that happens.
        verbose: 1 to say so.
        mode: "min", "max", or "auto" to know from the name.
        min_delta: a change of less than this is none.
        cooldown: epochs after that before they count again.
        min_lr: the rate does not go below this.

    Raises:
        ValueError: a factor out of range, an unknown mode.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            rule, expected = "is out of range", "0 < factor < 1"
            raise value_error("ReduceLROnPlateau", "factor", rule, expected, factor)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.best: float | None = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = _optimizer(self)
        if logs is not None:
            logs["learning_rate"] = optimizer.learning_rate
        value = self.monitored(logs)
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(optimizer, epoch)

    def _reduce(self, optimizer: Optimizer, epoch: int) -> None:
        if optimizer.learning_rate <= self.min_lr:
            return
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            say(f"Epoch {epoch + 1}: the learning rate goes down to {optimizer.learning_rate:g}")


def _optimizer(callback: Callback) -> Optimizer:
    optimizer = callback.model.optimizer
    assert optimizer is not None, "fit has checked that the model is compiled"
    return optimizer
