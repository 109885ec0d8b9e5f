"""Whether a contestant's results are those expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.bench.cases import Task

__all__ = ["difference", "load_results"]

LOSS_TOLERANCE = 1e-3
"""Of the losses of the first steps, which are about 2.

Sums are rounded differently, by about 1e-7 of each. The first steps of Adam are about the learning
rate times the sign of a gradient, so a gradient that is nearly 0 may turn such a difference into a
step of 1e-3 in one weight of many; a value near a kink of ReLU or between two maxima does likewise.
"""

PREDICTION_TOLERANCE = 1e-4
"""Of probabilities, or of logits of about 1: 1000 roundings of the largest term."""

OPERATION_TOLERANCE = 1e-5
"""Of the largest result, which is an exact integer in float32. Direct sums and F(2x2, 3x3) give it
exactly; F(4x4, 3x3), of `fast` precision too, and Fourier transforms round to some 100 units in the
last place (6e-8) of the largest."""


def load_results(path: Path) -> list[npt.NDArray[Any]]:
    """The arrays that a worker saved, in order."""
    with np.load(path) as saved:
        return [saved[name] for name in saved.files]


def difference(
    task: Task, expected: list[npt.NDArray[Any]], received: list[npt.NDArray[Any]]
) -> str | None:
    """What is wrong with `received`, or None."""
    if len(expected) != len(received):
        return f"{len(received)} results instead of {len(expected)}"
    for right, other in zip(expected, received, strict=True):
        if right.shape != other.shape:
            return f"shape {other.shape} instead of {right.shape}"
        if np.array_equal(right, other):
            continue
        if task == "ops":
            allowed = OPERATION_TOLERANCE * float(np.abs(right).max(initial=0))
        else:
            allowed = LOSS_TOLERANCE if task == "train" else PREDICTION_TOLERANCE
        worst = float(np.abs(np.float64(right) - other).max(initial=0))
        # Not <=, which a NaN would pass.
        if not worst <= allowed:
            return f"a difference of {worst:.2g} where {allowed:.2g} is allowed"
    return None
