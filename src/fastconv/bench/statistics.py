"""What a list of times says: medians and quartiles, because noise on a computer only adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Quartiles", "paired_ratio", "quartiles"]


class Quartiles(NamedTuple):
    """A quarter of the values are at most `lower`, half at most `median`, a quarter >= `upper`."""

    lower: float
    median: float
    upper: float

    def scaled(self, factor: float) -> Quartiles:
        """In another unit."""
        return Quartiles(*(factor * value for value in self))


def quartiles(values: Sequence[float]) -> Quartiles:
    """Quartiles of at least one value, interpolated between neighbours.

    >>> quartiles([4.0, 1.0, 3.0, 2.0, 5.0])
    Quartiles(lower=2.0, median=3.0, upper=4.0)
    """
    return Quartiles(*(float(value) for value in np.percentile(values, (25, 50, 75))))


def paired_ratio(
    numerators: Sequence[Sequence[float]], denominators: Sequence[Sequence[float]]
) -> Quartiles:
    """Quartiles of the ratios of medians, turn by turn.

    The two were measured shortly after each other in every turn, so that what slows the machine
    for longer than a turn cancels. Turns that only one of them has are left out.

    >>> paired_ratio([[2.0], [20.0], [2.0]], [[1.0], [10.0], [1.0], [7.0]]).median
    2.0
    """
    pairs = zip(numerators, denominators, strict=False)
    return quartiles([float(np.median(above) / np.median(below)) for above, below in pairs])
