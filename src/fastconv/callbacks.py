"""Callbacks: code that runs at set points of training, evaluation and prediction."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastconv._errors import type_error

if TYPE_CHECKING:
    from fastconv.models.model import Model

Logs: TypeAlias = Mapping[str, float]


class Callback:
    """Base class: override what you need.

    Attributes:
        model: the model that runs; set `model.stop_training = True` to end `fit` after the batch.
        params: "verbose", "epochs", "steps" (batches an epoch), "samples" (samples an epoch).

    `logs` holds running figures such as `{"loss": 0.2, "accuracy": 0.9}`; at the end of an epoch
    those of the validation too, as "val_loss" and so on.
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
        """A batch of it ends."""


class History(Callback):
    """Records what the epochs gave; `fit` returns one.

    Attributes:
        history: for each figure, such as "loss" or "val_accuracy", its value after each epoch.
        epoch: numbers of the epochs.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class CallbackList:
    """Calls all callbacks of a run. A hook that none of them overrides costs nothing a batch."""

    def __init__(self, callbacks: Iterable[Callback], model: Model, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                rule = "must hold callbacks"
                raise type_error(
                    "fit", "callbacks", rule, "instances of callbacks.Callback", repr(callback)
                )
            callback.set_model(model)
            callback.set_params(params)

    def hooks(self, name: str) -> list[Callable[..., None]]:
        """The methods called `name` of the callbacks that override it."""
        return [
            getattr(callback, name)
            for callback in self.callbacks
            if getattr(type(callback), name) is not getattr(Callback, name)
            or name in vars(callback)
        ]

    def call(self, name: str, *arguments: Any) -> None:
        """Call the method `name` of every callback that overrides it."""
        for hook in self.hooks(name):
            hook(*arguments)


def as_list(callbacks: Callback | Iterable[Callback] | None) -> list[Callback]:
    """One callback, several or none, as a list."""
    if callbacks is None:
        return []
    return [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
