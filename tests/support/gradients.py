"""Gradients against central differences, in float64.

Layers compute in the dtype of their input, and the operations take float64, so the weights are
replaced by float64 ones. A central difference of step h along a direction v of values up to 1 has
an error of h^2/6 times a third derivative, and of a few epsilon * |loss| / h by rounding. With
h = 1e-5 and losses of about 1 both are about 1e-10; TOLERANCE leaves room for third derivatives of
some hundreds and for sums of some thousands of terms. A kink of ReLU or of a pool closer than h to
the point would show as a failure: the seeds are fixed, and none is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from fastconv.layers import Variable

H = 1e-5
TOLERANCE = 1e-6
Array = np.ndarray[Any, np.dtype[Any]]


def in_float64(variables: Sequence[Variable], seed: int = 0) -> None:
    """Give weights float64 values, positive ones where nothing trains them, and gradients."""
    generator = np.random.default_rng(seed)
    for variable in variables:
        value = generator.normal(0, 0.5, variable.shape)
        variable.value = value if variable.trainable else np.abs(value)  # type: ignore[assignment]
        variable.gradient = np.full(variable.shape, np.nan)  # type: ignore[assignment]


def slope(function: Callable[[], float], array: Array, direction: Array) -> float:
    """The derivative of `function` as `array` moves along `direction`."""
    array += H * direction
    above = function()
    array -= 2 * H * direction
    below = function()
    array += H * direction
    return (above - below) / (2 * H)


def check(function: Callable[[], float], array: Array, gradient: Array, seed: int) -> None:
    """Compare `gradient` with the slope of `function` of `array` along a random direction."""
    assert gradient.shape == array.shape
    direction = np.random.default_rng(seed).uniform(-1, 1, array.shape)
    expected = slope(function, array, direction)
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    assert np.count_nonzero(gradient) > 0
