"""Kept results of shape arithmetic: checking arguments takes longer than a small operation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from fastconv import _core

_F = TypeVar("_F", bound=Callable[..., Any])

_MOST_RESULTS = 512


def remembered(function: _F) -> _F:
    """Keep the results of a function for the last few hundred different calls.

    Calls with arguments other than ints, strings, bools, None and tuples of ints are always made:
    to a cache 1, 1.0 and True in a tuple are one value. Errors are not kept.
    """
    known = functools.lru_cache(_MOST_RESULTS, typed=True)(function)
    are_plain = _core.are_plain

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return known(*arguments) if are_plain(arguments) else function(*arguments)

    return call  # type: ignore[return-value]
