"""Penalties on the size of weights, which the loss includes: Keras 3's names and formulas."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastconv._errors import value_error
from fastconv.configurable import Configurable

if TYPE_CHECKING:
    from fastconv._types import FloatArray


class Regularizer(Configurable):
    """A penalty of a weight. To write one, override both methods."""

    def __call__(self, x: FloatArray) -> float:
        """The penalty of the weight `x`."""
        raise NotImplementedError

    def gradient(self, x: FloatArray) -> FloatArray:
        """The gradient of the penalty, a new array in the shape of `x`."""
        raise NotImplementedError


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x^2)`.

    Raises:
        ValueError: a negative or infinite factor.

    >>> L1L2(l1=0.5, l2=0.25)(np.array([1.0, -2.0]))
    2.75
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor(type(self).__name__, "l1", l1)
        self.l2 = _factor(type(self).__name__, "l2", l2)

    def __call__(self, x: FloatArray) -> float:
        penalty = self.l1 * float(np.sum(np.abs(x))) if self.l1 else 0.0
        return penalty + self.l2 * float(np.vdot(x, x)) if self.l2 else penalty

    def gradient(self, x: FloatArray) -> FloatArray:
        grad = x * (2 * self.l2)
        if self.l1:
            grad += np.sign(x) * self.l1
        return grad


class L1(L1L2):
    """`l1 * sum(|x|)`."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """`l2 * sum(x^2)`."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


l1, l2, l1_l2 = L1, L2, L1L2

_NAMES: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": L1L2}
_NAMES |= {regularizer.__name__: regularizer for regularizer in (L1, L2, L1L2)}


def _factor(operation: str, argument: str, value: float) -> float:
    if isinstance(value, str) or not 0 <= value < math.inf:
        rule = "must not be negative"
        raise value_error(operation, argument, rule, "a finite number >= 0", repr(value))
    return float(value)


def get(identifier: str | type[Regularizer] | Regularizer | None) -> Regularizer | None:
    """The regulariser of a name or a class, with default factors, or an instance; None stays None.

    >>> get("l2").l2
    0.01

    Raises:
        ValueError: an unknown name, or a function: it has no gradient.
    """
    if isinstance(identifier, str) and identifier in _NAMES:
        return _NAMES[identifier]()
    if isinstance(identifier, type):
        return get(identifier())
    if identifier is None or isinstance(identifier, Regularizer):
        return identifier
    names = ", ".join(name for name in _NAMES if name.islower())
    expected = f"one of {names}, or an object of a class from Regularizer"
    raise value_error("regularizers.get", "identifier", "is not known", expected, identifier)
