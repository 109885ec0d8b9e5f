"""Dropout from a counter-based generator: the mask depends on seed, offset and index alone."""

from __future__ import annotations

import operator
from numbers import Real
from typing import TYPE_CHECKING

from fastconv import _core
from fastconv._arrays import float_array
from fastconv._errors import type_error, value_error
from fastconv.ops._memory import core_threads, packed, result

if TYPE_CHECKING:
    import numpy.typing as npt

    from fastconv._types import FloatArray


def dropout(
    x: npt.ArrayLike,
    rate: float,
    *,
    seed: int,
    offset: int = 0,
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """Zero each element with probability `rate`, multiply the others by `1 / (1 - rate)`.

    Element `i` (flat, C order) is kept if and only if its word is at least `floor(rate * 2**32)`;
    word `i` is lane `i % 4` of Philox4x32-10 with counter `offset + i // 4` (modulo 2**64, low
    word first, then two zeros) and key `seed` (low word first). The factor is rounded to the dtype
    of `x` before the product. A call with the same seed and offset on the gradient is the backward
    pass; an array of `n` elements uses the offsets from `offset` to `offset + (n + 3) // 4 - 1`.

    Source of the generator: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
    1, 2, 3", SC11.

    Args:
        x: any shape, float32 or float64.
        rate: 0 <= rate <= 1; with 1 all is zero.
        seed, offset: 0 <= value < 2**64.
        out: array to fill; may be `x`.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        An array in the shape and dtype of `x`.

    Raises:
        ValueError: a rate, seed or offset out of range, a bad `out`.
        TypeError: a dtype other than float32 and float64, not an array, a seed that is not an
            integer.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> sorted(set(dropout(np.ones(100, np.float32), 0.5, seed=1).tolist()))
    [0.0, 2.0]
    """
    x = float_array("dropout", "x", x)
    if not isinstance(rate, Real):
        raise type_error("dropout", "rate", "must be a number", "0 <= rate <= 1", repr(rate))
    if not 0 <= rate <= 1:
        raise value_error("dropout", "rate", "is out of range", "0 <= rate <= 1", rate)
    key, counter = _uint64("seed", seed), _uint64("offset", offset)
    threads = core_threads("dropout", num_threads)
    y = result("dropout", out, x.shape, x.dtype, (x,), in_place=True)
    if rate == 1:
        y.fill(0)
    else:
        _core.dropout(packed("dropout", x), y, None, float(rate), key, counter, threads)
    return y


def _uint64(argument: str, value: object) -> int:
    expected = "0 <= int < 2**64"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise type_error("dropout", argument, "must be an integer", expected, value) from None
    if not 0 <= number < 2**64:
        raise value_error("dropout", argument, "is out of range", expected, number)
    return number
