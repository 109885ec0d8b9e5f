"""Where the values of new weights come from: their initialiser, or a file that is being read.

A model file describes layers of any size in a few bytes. While one is read, weights are only
placeholders, which have a shape and take no memory, until arrays of the file take their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error

Initializer: TypeAlias = Callable[[Sequence[int]], Any]

_without_values: ContextVar[bool] = ContextVar("_without_values", default=False)


@contextmanager
def placeholders() -> Iterator[None]:
    """Let the weights that are made inside have no memory: read-only zeros of their shape."""
    token = _without_values.set(True)
    try:
        yield
    finally:
        _without_values.reset(token)


def new_values(
    layer: str, name: str, shape: tuple[int, ...], initializer: Initializer
) -> npt.NDArray[np.float32]:
    """Values of `shape` for the weight `name` of a layer, C-contiguous but for placeholders.

    Raises:
        ValueError: an initialiser that gives another shape.
    """
    if _without_values.get():
        return np.broadcast_to(np.float32(0), shape)
    values = np.array(initializer(shape), np.float32, order="C")
    if values.shape != shape:
        rule = "gives the wrong shape"
        raise value_error(layer, f"the initializer of {name}", rule, shape, values.shape)
    return values
