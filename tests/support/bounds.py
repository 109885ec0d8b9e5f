"""Error bounds of sums, derived; no tolerance in the tests comes from anywhere else.

Let `u` be the unit roundoff (eps / 2) and `gamma(n) = n u / (1 - n u)`. A dot product of K terms
plus a bias, added in any order, with or without fused multiply-adds, rounds each product at most
once and passes it through at most K additions, so with exact arithmetic `y`::

    |computed - y| <= gamma(K + 1) * (sum |x_i| |w_i| + |b|)

(Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1). The value that
it is compared with is itself computed in float64. For a float32 result its error is at most
gamma_64(K + 1), far below one more unit of float32, hence gamma(K + 2). For a float64 result both
have the same bound, hence twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def unit_roundoff(dtype: npt.DTypeLike) -> float:
    """u = eps / 2 of the dtype."""
    return float(np.finfo(dtype).eps) / 2


def gamma(roundings: int, dtype: npt.DTypeLike) -> float:
    """Relative growth of the error over this many roundings."""
    error = roundings * unit_roundoff(dtype)
    assert error < 0.1, "the bound says nothing for so long a sum"
    return error / (1 - error)


def assert_within_bound(actual: Array, expected: Array, magnitude: Array, terms: int) -> None:
    """Check sums of `terms` products elementwise.

    Args:
        actual: the result, float32 or float64.
        expected: the same sums in float64.
        magnitude: the same sums over absolute values, in float64.
        terms: K, products per sum.
    """
    factor = gamma(terms + 2, actual.dtype) * (2 if actual.dtype == np.float64 else 1)
    excess = np.abs(actual.astype(np.float64) - expected) - factor * magnitude
    assert actual.shape == expected.shape
    assert not np.isnan(excess).any()
    assert excess.size == 0 or excess.max() <= 0, f"{excess.max():.3e} above the bound"
