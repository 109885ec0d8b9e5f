"""Kept results of shape arithmetic: checking arguments takes longer than a small operation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])

_MOST_RESULTS = 512
_EXACT = frozenset({int, str, bool, type(None)})


def remembered(*, sizes: int) -> Callable[[_F], _F]:
    """Keep the results of a function for the last few hundred different calls.

    Its arguments are the operation's name, `sizes` tuples of sizes, and options. Calls with options
    other than ints, strings, bools, None and tuples of ints are always made: to a cache 1, 1.0 and
    True in a tuple are one value. Errors are not kept.
    """

    def decorate(function: _F) -> _F:
        known = functools.lru_cache(_MOST_RESULTS, typed=True)(function)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            options = arguments[sizes + 1 :]
            if not _EXACT.issuperset(map(type, options)):
                for value in options:
                    if value.__class__ not in _EXACT and not _is_exact(value):
                        return function(*arguments)
            return known(*arguments)

        return call  # type: ignore[return-value]

    return decorate


def _is_exact(value: object) -> bool:
    if value.__class__ is not tuple:
        return False
    assert isinstance(value, tuple)
    for part in value:  # noqa: SIM110 - a generator takes longer than the look-up it saves
        if part.__class__ is not int and not _is_exact(part):
            return False
    return True
