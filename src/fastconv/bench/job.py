"""What a peer makes of a case: a call to time, and results to compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["CHECKED_STEPS", "Job", "operation_job", "prediction_job", "training_job"]

Results: TypeAlias = list[npt.NDArray[Any]]

CHECKED_STEPS = 5
"""Training steps whose losses are compared."""


class Job(NamedTuple):
    """A case, ready to run in this process.

    Attributes:
        run: the call to time, which returns when the work is done.
        results: what must equal the other libraries' results, images as `(N, H, W, C)`. Called on
            a fresh job.
        rounds: rounds (training steps, predictions, operations) in one call of `run`.
    """

    run: Callable[[], Any]
    results: Callable[[], Results]
    rounds: int = 1


def training_job(step: Callable[..., Any], batches: Sequence[Any]) -> Job:
    """Training steps on each batch in turn; `step(*batch)` returns the loss before the step."""
    following = cycle(batches)
    return Job(
        run=lambda: step(*next(following)),
        results=lambda: [np.array([float(step(*batch)) for batch in batches[:CHECKED_STEPS]])],
    )


def prediction_job(predict: Callable[[Any], Any], inputs: Sequence[Any]) -> Job:
    """Predictions of each input in turn."""
    following = cycle(inputs)
    return Job(
        run=lambda: predict(next(following)),
        results=lambda: [np.array(predict(x)) for x in inputs],
    )


def operation_job(
    run: Callable[[], Any], as_array: Callable[[Any], npt.NDArray[Any]] = np.array
) -> Job:
    """One operation; `as_array` brings its result into fastconv's layout."""
    return Job(run, lambda: [as_array(run())])
