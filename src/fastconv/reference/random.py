"""Dropout from a counter-based generator: the mask depends on seed, offset and index alone."""

# ruff: noqa: ARG001 - num_threads is there to have the signatures of fastconv.ops.
from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastconv._arrays import float_array
from fastconv._errors import type_error, value_error
from fastconv._types import FloatArray
from fastconv.reference._layout import finish

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def philox4x32_10(
    counter: npt.NDArray[np.uint32], key: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """Ten rounds of Philox4x32.

    Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.

    Args:
        counter: `(..., 4)` words.
        key: `(2,)` words.

    Returns:
        `(..., 4)` random words, a bijection of the counter for each key.
    """
    x0, x1, x2, x3 = (counter[..., lane].astype(np.uint64) for lane in range(4))
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        product0, product1 = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1, x2, x3 = (
            (product1 >> _SHIFT) ^ x1 ^ k0,
            product1 & _LOW,
            (product0 >> _SHIFT) ^ x3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([x0, x1, x2, x3], axis=-1).astype(np.uint32)


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

    Args:
        x: any shape, float32 or float64.
        rate: 0 <= rate <= 1; with 1 all is zero.
        seed, offset: 0 <= value < 2**64.
        out: array to fill; may be `x`.
        num_threads: ignored.

    Returns:
        An array in the shape and dtype of `x`.

    Raises:
        ValueError: a rate, seed or offset out of range.
        TypeError: a dtype other than float32 and float64; a seed that is not an integer.
    """
    x = float_array("dropout", "x", x)
    threshold = _threshold(rate)
    seed, offset = _uint64("seed", seed), _uint64("offset", offset)
    blocks = np.arange((x.size + 3) // 4, dtype=np.uint64) + np.uint64(offset)
    counter = np.zeros((blocks.size, 4), np.uint32)
    counter[:, 0], counter[:, 1] = blocks & _LOW, blocks >> _SHIFT
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)
    words = philox4x32_10(counter, key).ravel()[: x.size].reshape(x.shape)
    scale = x.dtype.type(1.0 / (1.0 - rate)) if rate < 1 else x.dtype.type(0)
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.where(words >= threshold, x * scale, x.dtype.type(0))
    return finish("dropout", y, x.dtype, out, (x,), in_place=True)


def _threshold(rate: float) -> int:
    if not 0 <= rate <= 1:
        raise value_error("dropout", "rate", "is out of range", "0 <= rate <= 1", rate)
    return int(rate * 2**32)


def _uint64(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise type_error("dropout", name, "must be an integer", "0 <= int < 2**64", value)
    if not 0 <= value < 2**64:
        raise value_error("dropout", name, "is out of range", "0 <= int < 2**64", value)
    return int(value)
