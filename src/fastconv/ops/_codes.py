"""Codes of maxima: the core checks an index where it uses it, people are told about it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv._arrays import argmax_array, as_array, check_shape
from fastconv._errors import type_error

if TYPE_CHECKING:
    from fastconv._types import IntArray

_INT64 = np.dtype(np.int64)


def codes_array(operation: str, value: object, shape: tuple[int, ...]) -> IntArray:
    """`value` as int64 codes of `shape`; their range is not checked."""
    array = value if type(value) is np.ndarray else as_array(operation, "argmax", value)
    if array.dtype is not _INT64 and (array.dtype != _INT64 or not array.dtype.isnative):
        raise type_error(operation, "argmax", "has the wrong dtype", "int64", array.dtype)
    if array.shape != shape:
        check_shape(operation, "argmax", array.shape, shape)
    codes: IntArray = array if array.dtype is _INT64 else array.view(_INT64)  # type: ignore[assignment]
    return codes


def check_range(operation: str, codes: IntArray, cells: int) -> None:
    """Name the range of the codes, if the core may have refused one of them."""
    argmax_array(operation, codes, shape=codes.shape, cells=cells)
