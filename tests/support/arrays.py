"""Exact test data, exact comparisons, and arrays with guards around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAGNITUDE = 4
"""Integers of test data lie in -MAGNITUDE .. MAGNITUDE."""

DATA_FORMATS = ("channels_last", "channels_first")
DTYPES = (np.float32, np.float64)

_CANARY = 0xFF  # NaN in float32 and float64, so that a value read from there shows
_GUARD_BYTES = 256


def integers(seed: int, *shape: int) -> Array:
    """A float64 array of integers within MAGNITUDE; casting it to float32 loses nothing."""
    values = np.random.default_rng(seed).integers(-MAGNITUDE, MAGNITUDE + 1, shape)
    return values.astype(np.float64)


def reals(seed: int, *shape: int) -> Array:
    """A float64 array of float32 values in -1 .. 1, so that both dtypes see the same numbers."""
    values = np.random.default_rng(seed).uniform(-1, 1, shape)
    return values.astype(np.float32).astype(np.float64)


def assert_exact_in_float32(terms: int) -> None:
    """Check that a sum of `terms` products of two `integers` and one bias has no rounding.

    Every partial sum, in any order, is an integer of at most `terms * MAGNITUDE**2 + MAGNITUDE`,
    and float32 holds all integers up to 2**24. Winograd F(2x2, 3x3) multiplies the inputs by at
    most 4, the kernels by at most 9/4, has two fractional bits, and sums 9 products at the end:
    the limit is set so that this is exact as well.
    """
    direct = terms * MAGNITUDE**2 + MAGNITUDE
    winograd_growth = 4 * 9 // 4 * 4
    assert direct * winograd_growth <= 2**24, f"{terms} terms may round in float32"


def assert_mostly_nonzero(expected: Array) -> None:
    """Refuse test data whose expected result a kernel that writes zeros would almost meet."""
    if expected.size >= 16:
        assert np.count_nonzero(expected) >= expected.size // 10


def assert_equal(actual: Array, expected: Array, what: str = "") -> None:
    """Same dtype, shape and values, tolerance 0; NaN equals NaN, -0 equals 0."""
    np.testing.assert_array_equal(actual, expected, strict=True, err_msg=what)


def assert_same_bits(actual: Array, expected: Array, what: str = "") -> None:
    """Same dtype, shape and bytes."""
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    assert actual.tobytes() == expected.tobytes(), f"{what}: the bits differ"


def in_format(nhwc: Array, data_format: str) -> Array:
    """A channels_last array as a contiguous array in `data_format`."""
    return nhwc if data_format == "channels_last" else np.ascontiguousarray(np.moveaxis(nhwc, 3, 1))


def poisoned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of NaN (of the largest integer): an element that is not written shows."""
    kind = np.dtype(dtype).kind
    return np.full(shape, np.nan if kind == "f" else np.iinfo(dtype).max, dtype)


class Guarded:
    """A poisoned array with known bytes before and after it.

    It starts at an address that is a multiple of the item size only, so code that assumes more
    alignment fails as well.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        item = np.dtype(dtype).itemsize
        size = int(np.prod(shape)) * item
        memory = np.full(size + 2 * _GUARD_BYTES + 64 + item, _CANARY, np.uint8)
        self._start = _GUARD_BYTES + (-memory.ctypes.data - _GUARD_BYTES) % 64 + item
        self._end = self._start + size
        self._memory = memory
        self.array: Array = memory[self._start : self._end].view(dtype).reshape(shape)
        self.array[...] = poisoned(shape, dtype)

    def assert_guards_intact(self) -> None:
        """Fail if a byte around the array has changed."""
        assert (self._memory[: self._start] == _CANARY).all(), "written before the array"
        assert (self._memory[self._end :] == _CANARY).all(), "written behind the array"


def guarded_copy(array: Array) -> Guarded:
    """A guarded array with the values of `array`."""
    guarded = Guarded(array.shape, array.dtype)
    guarded.array[...] = array
    return guarded
