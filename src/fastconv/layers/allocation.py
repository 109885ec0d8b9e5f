"""Where the values of new weights come from: their initialiser, or a file that is being read.

A model file describes layers of any size in a few bytes. While one is read, weights start as zeros,
which the file's values replace, and all of them together may not be larger than those values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error

Initializer: TypeAlias = Callable[[Sequence[int]], Any]


class _Allowance:
    def __init__(self, values: int) -> None:
        self.left = values


_allowance: ContextVar[_Allowance | None] = ContextVar("_allowance", default=None)


@contextmanager
def zeros_within(values: int) -> Iterator[None]:
    """Let weights made inside start as zeros, and hold at most `values` numbers in all."""
    token = _allowance.set(_Allowance(values))
    try:
        yield
    finally:
        _allowance.reset(token)


def new_values(
    layer: str, name: str, shape: tuple[int, ...], initializer: Initializer
) -> npt.NDArray[np.float32]:
    """C-contiguous values of `shape` for the weight `name` of a layer.

    Raises:
        ValueError: more than `zeros_within` allows, or an initialiser that gives another shape.
    """
    allowance = _allowance.get()
    if allowance is not None:
        size = math.prod(shape)
        if size > allowance.left:
            rule, expected = "is larger than the file's values", f"at most {allowance.left} numbers"
            raise value_error(layer, f"the shape {shape} of {name}", rule, expected, size)
        allowance.left -= size
        return np.zeros(shape, np.float32)
    values = np.array(initializer(shape), np.float32, order="C")
    if values.shape != shape:
        rule = "gives the wrong shape"
        raise value_error(layer, f"the initializer of {name}", rule, shape, values.shape)
    return values
