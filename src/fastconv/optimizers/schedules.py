"""Learning rates that depend on the number of the step, from 0."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from fastconv._errors import value_error
from fastconv.configurable import Configurable

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
]


class LearningRateSchedule(Configurable):
    """Base class: override `__call__`. Give an instance to an optimizer as its `learning_rate`."""

    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        raise NotImplementedError


class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Args:
        initial_learning_rate: of step 0.
        decay_steps: > 0.
        decay_rate: the factor of so many steps.
        staircase: whether the exponent is rounded down.
        name: of no effect.

    Raises:
        ValueError: decay_steps that are not positive.

    >>> schedule = ExponentialDecay(0.5, decay_steps=10, decay_rate=0.25)
    >>> schedule(0), schedule(5), schedule(10)
    (0.5, 0.25, 0.125)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _checked_steps(self, "decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = bool(staircase)
        self.name = name

    def __call__(self, step: int) -> float:
        exponent = step / self.decay_steps
        if self.staircase:
            exponent = math.floor(exponent)
        return float(self.initial_learning_rate * self.decay_rate**exponent)


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[0]` up to and with step `boundaries[0]`, `values[1]` up to `boundaries[1]`, ...

    Args:
        boundaries: steps in ascending order.
        values: one more.
        name: of no effect.

    Raises:
        ValueError: boundaries that do not ascend, or another number of values.

    >>> schedule = PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
    >>> schedule(10), schedule(11), schedule(21)
    (1.0, 0.5, 0.1)
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.name = name
        title = type(self).__name__
        if len(self.values) != len(self.boundaries) + 1:
            rule, expected = (
                "must be one more than boundaries",
                f"{len(self.boundaries) + 1} values",
            )
            raise value_error(title, "values", rule, expected, len(self.values))
        if sorted(set(self.boundaries)) != self.boundaries:
            rule, expected = "must ascend", "steps in ascending order"
            raise value_error(title, "boundaries", rule, expected, self.boundaries)

    def __call__(self, step: int) -> float:
        return float(self.values[bisect.bisect_left(self.boundaries, step)])


class CosineDecay(LearningRateSchedule):
    """A linear warm-up, if asked for, then half a cosine down to a share of the rate.

    With r the rate that decays, at fraction f of `decay_steps`:
    `r * ((1 - alpha) * (1 + cos(pi * f)) / 2 + alpha)`; after that `r * alpha`.

    Source: Loshchilov and Hutter (2016), without restarts; Goyal et al. (2017) for the warm-up.

    Args:
        initial_learning_rate: of step 0.
        decay_steps: > 0, without those of the warm-up.
        alpha: the share that is left at the end.
        name: of no effect.
        warmup_target: the rate after the warm-up, from which it decays; None for no warm-up.
        warmup_steps: of the warm-up.

    Raises:
        ValueError: steps out of range.

    >>> schedule = CosineDecay(0.5, decay_steps=10)
    >>> schedule(0), schedule(5), schedule(10), schedule(11)
    (0.5, 0.25, 0.0, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _checked_steps(self, "decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        if warmup_steps < 0:
            rule, expected = "must not be negative", ">= 0"
            raise value_error(type(self).__name__, "warmup_steps", rule, expected, warmup_steps)
        self.warmup_steps = warmup_steps

    def __call__(self, step: int) -> float:
        rate = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return rate + (self.warmup_target - rate) * step / self.warmup_steps
            rate, step = self.warmup_target, step - self.warmup_steps
        share = _half_cosine(step / self.decay_steps)
        return rate * ((1 - self.alpha) * share + self.alpha)


class OneCycle(LearningRateSchedule):
    """Up to a maximum and down to almost nothing, each along half a cosine.

    Source: Smith and Topin (2018), with cosines in place of straight lines.

    Args:
        maximum_learning_rate: the highest rate.
        total_steps: of the whole cycle: batches an epoch times epochs.
        warmup_share: the share of the steps on the way up, in (0, 1).
        initial_divisor: of the maximum, for the rate of step 0.
        final_divisor: of the maximum, for the rate from `total_steps` on.
        name: of no effect.

    Raises:
        ValueError: numbers out of range.

    >>> schedule = OneCycle(0.5, total_steps=100)
    >>> schedule(0), schedule(15), schedule(30), schedule(65)
    (0.02, 0.26, 0.5, 0.250025)
    """

    def __init__(
        self,
        maximum_learning_rate: float,
        total_steps: int,
        warmup_share: float = 0.3,
        initial_divisor: float = 25.0,
        final_divisor: float = 1e4,
        name: str = "OneCycle",
    ) -> None:
        self.maximum_learning_rate = maximum_learning_rate
        self.total_steps = _checked_steps(self, "total_steps", total_steps)
        if not 0 < warmup_share < 1:
            rule, expected = "is out of range", "0 < warmup_share < 1"
            raise value_error(type(self).__name__, "warmup_share", rule, expected, warmup_share)
        self.warmup_share = warmup_share
        self.initial_divisor = _checked_steps(self, "initial_divisor", initial_divisor)
        self.final_divisor = _checked_steps(self, "final_divisor", final_divisor)
        self.name = name

    def __call__(self, step: int) -> float:
        top = self.maximum_learning_rate
        turn = self.warmup_share * self.total_steps
        if step < turn:
            low, share = top / self.initial_divisor, 1 - _half_cosine(step / turn)
        else:
            share = _half_cosine((step - turn) / (self.total_steps - turn))
            low = top / self.final_divisor
        return low + (top - low) * share


def _half_cosine(fraction: float) -> float:
    """From 1 at 0 to 0 at 1, and 0 beyond."""
    return (1 + math.cos(math.pi * min(fraction, 1.0))) / 2


def _checked_steps(schedule: LearningRateSchedule, argument: str, value: float) -> float:
    if not value > 0:
        raise value_error(type(schedule).__name__, argument, "must be positive", "> 0", value)
    return value
