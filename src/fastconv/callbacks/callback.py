"""The base class of callbacks, and those that only record or forward."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from fastconv._errors import type_error

if TYPE_CHECKING:
    from fastconv.models.model import Model

Logs: TypeAlias = dict[str, Any]


class Callback:
    """Base class: override what you need.

    Attributes:
        model: the model that runs; set `model.stop_training = True` to end `fit` after the batch.
        params: "verbose", "epochs", "steps" (batches an epoch), "samples" (samples an epoch); the
            last two are None where data come from a generator of unknown length.

    `logs` holds running figures such as `{"loss": 0.2, "accuracy": 0.9}`; at the end of an epoch
    those of the validation too, as "val_loss" and so on. What a callback adds to them at the end of
    an epoch, callbacks after it and the history see too.
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        """Called before the run."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before the run."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """`fit` starts."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """`fit` ends; `logs` are those of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch starts, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch ends, its validation included."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A training step starts."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A training step ends."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """`evaluate`, or the validation in `fit`, starts."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """`evaluate`, or the validation in `fit`, ends."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of it starts."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of it ends."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """`predict` starts."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """`predict` ends."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of it starts."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of it ends; `logs` holds its "outputs"."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
"""The names of the methods that a run calls."""


class History(Callback):
    """Records what the epochs gave; `fit` returns one.

    Attributes:
        history: for each figure, such as "loss" or "val_accuracy", its value after each epoch.
        epoch: numbers of the epochs.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        on_epoch_begin, on_epoch_end: functions of `(epoch, logs)`.
        on_train_begin, on_train_end: functions of `(logs)`.
        on_train_batch_begin, on_train_batch_end: functions of `(batch, logs)`.
        others: for other methods of `Callback`, by name, with its arguments.

    Raises:
        TypeError: a name that is no method of `Callback`.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **others: Callable[..., Any],
    ) -> None:
        named = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in (named | others).items():
            if name not in HOOKS:
                expected = f"one of {', '.join(HOOKS)}"
                raise type_error("LambdaCallback", name, "is no hook", expected, name)
            if function is not None:
                vars(self)[name] = function
