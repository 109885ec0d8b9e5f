"""Optimizers: Keras 3's names, defaults and formulas, over one flat buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv._errors import type_error, value_error
from fastconv.optimizers import schedules
from fastconv.optimizers.adam import Adam, AdamW
from fastconv.optimizers.optimizer import Optimizer
from fastconv.optimizers.rmsprop import RMSprop
from fastconv.optimizers.sgd import SGD

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]

_NAMES: dict[str, Callable[[], Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def get(identifier: str | Optimizer) -> Optimizer:
    """The optimizer of a name, in any case.

    >>> get("adam").learning_rate
    0.001

    Raises:
        ValueError: an unknown name.
        TypeError: something else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if not isinstance(identifier, str):
        rule = "must be an optimizer"
        raise type_error("optimizers.get", "identifier", rule, "a name or an Optimizer", identifier)
    if identifier.lower() not in _NAMES:
        expected = f"one of {', '.join(_NAMES)}"
        raise value_error("optimizers.get", "identifier", "is not known", expected, identifier)
    return _NAMES[identifier.lower()]()
