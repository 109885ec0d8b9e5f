"""Sums over all axes but one, in NumPy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastconv._types import FloatArray

_WIDE = 512
"""Values in a row of a sum over rows: rows of 32 channels take three times as long each."""


def channel_sums(x: FloatArray, axis: int) -> FloatArray:
    """`(C,)`, the sums over all axes of C-contiguous `x` but `axis`."""
    return channel_dots(x, None, axis)


def channel_dots(x: FloatArray, y: FloatArray | None, axis: int) -> FloatArray:
    """`(C,)`, the sums of `x * y` over all axes but `axis`; of `x` where `y` is None."""
    outer, channels, inner = around(x.shape, axis)
    if inner > 1:
        planes = outer, channels, inner
        x = x.reshape(planes)
        sums = x.sum(axis=2) if y is None else np.einsum("ncp,ncp->nc", x, y.reshape(planes))
    else:
        fold = 1
        while channels * fold < _WIDE and outer % (2 * fold) == 0:
            fold *= 2
        rows = outer // fold, fold * channels
        x = x.reshape(rows)
        sums = x.sum(axis=0) if y is None else np.einsum("rc,rc->c", x, y.reshape(rows))
    total: FloatArray = sums.reshape(-1, channels).sum(axis=0)
    return total


def around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """The sizes before, of and after an axis.

    >>> around((2, 3, 4, 5), 1)
    (2, 3, 20)
    """
    axis %= len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
