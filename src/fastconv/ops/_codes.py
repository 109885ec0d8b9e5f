"""Codes of maxima: the core checks an index where it uses it, people are told about it here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fastconv._arrays import argmax_array, as_array, check_shape
from fastconv._errors import type_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastconv._types import IntArray


def codes_array(operation: str, value: object, shape: tuple[int, ...]) -> IntArray:
    """`value` as int64 codes of `shape`; their range is not checked."""
    array = as_array(operation, "argmax", value)
    if array.dtype != np.int64 or not array.dtype.isnative:
        raise type_error(operation, "argmax", "has the wrong dtype", "int64", array.dtype)
    check_shape(operation, "argmax", array.shape, shape)
    codes: IntArray = array.view(np.int64)
    return codes


@contextmanager
def checked_codes(operation: str, codes: IntArray, cells: int) -> Iterator[None]:
    """Name the range of the codes if the core, inside the block, refuses one of them."""
    try:
        yield
    except ValueError:
        argmax_array(operation, codes, shape=codes.shape, cells=cells)
        raise
