"""Regularisers: penalties and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import regularizers
from fastconv.regularizers import L1, L1L2, L2

X = np.array([[1.0, -2.0], [0.0, 4.0]])


@pytest.mark.parametrize(
    ("regularizer", "penalty", "gradient"),
    [
        (L1(0.5), 3.5, [[0.5, -0.5], [0, 0.5]]),
        (L2(0.25), 5.25, [[0.5, -1], [0, 2]]),
        (L1L2(0.5, 0.25), 8.75, [[1, -1.5], [0, 2.5]]),
        (L1L2(), 0, [[0, 0], [0, 0]]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_penalties_and_gradients(
    regularizer: Any, penalty: float, gradient: Any, dtype: Any
) -> None:
    x = X.astype(dtype)
    assert regularizer(x) == penalty
    assert regularizer.gradient(x).dtype == dtype
    assert regularizer.gradient(x).tolist() == gradient
    assert x.tolist() == X.tolist()


def test_get() -> None:
    assert regularizers.get(None) is None
    given = L1(0.1)
    assert regularizers.get(given) is given
    for name, kind, factors in (
        ("l1", L1, (0.01, 0)),
        ("l2", L2, (0, 0.01)),
        ("L2", L2, (0, 0.01)),
        ("l1l2", L1L2, (0, 0)),
        (regularizers.l1_l2, L1L2, (0, 0)),
    ):
        made = regularizers.get(name)
        assert type(made) is kind
        assert (made.l1, made.l2) == factors
    for wrong in ("l3", np.sum, 0.01, int):
        with pytest.raises(ValueError, match=r"regularizers\.get: identifier is not known"):
            regularizers.get(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [-1, float("inf"), float("nan"), "a"])
def test_factors_that_are_refused(factor: Any) -> None:
    with pytest.raises(ValueError, match="L2: l2 must not be negative, expected a finite number"):
        L2(factor)
    with pytest.raises(ValueError, match="L1L2: l1 must not be negative"):
        L1L2(l1=factor)
