"""The callbacks of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fastconv._errors import type_error
from fastconv.callbacks.callback import Callback

if TYPE_CHECKING:
    from fastconv.models.model import Model
    from fastconv.progress import ProgressDisplay

_OTHER_NAMES = {
    "on_train_batch_begin": "on_batch_begin",
    "on_train_batch_end": "on_batch_end",
}


class CallbackList:
    """Calls all callbacks of a run. A hook that none of them overrides costs nothing a batch.

    Args:
        callbacks: in the order of calls.
        model, params: for them.
        display: called after them; as a context manager, the list closes it in any event.

    Raises:
        TypeError: something that is no callback.
    """

    def __init__(
        self,
        callbacks: Iterable[Callback],
        model: Model,
        params: dict[str, Any],
        display: ProgressDisplay | None = None,
    ) -> None:
        self._display = display
        self.callbacks = [*callbacks, *(() if display is None else (display,))]
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                rule = "must hold callbacks"
                raise type_error(
                    "fit", "callbacks", rule, "instances of callbacks.Callback", repr(callback)
                )
            callback.set_model(model)
            callback.set_params(params)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._display is not None:
            self._display.close()

    def hooks(self, name: str) -> list[Callable[..., None]]:
        """The methods called `name`, or by its older name, of the callbacks that override it."""
        names = [_OTHER_NAMES[name], name] if name in _OTHER_NAMES else [name]
        return [
            getattr(callback, key)
            for callback in self.callbacks
            for key in names
            if getattr(type(callback), key) is not getattr(Callback, key) or key in vars(callback)
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
