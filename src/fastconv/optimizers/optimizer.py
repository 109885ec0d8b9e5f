"""What all optimizers share: the learning rate, clipping, weight decay and state.

All parameters of a model are one array and so are their gradients: a step is a few passes of NumPy
over them, in place, with scratch that is allocated once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error
from fastconv.configurable import Configurable
from fastconv.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Float32Array: TypeAlias = npt.NDArray[np.float32]
Rate: TypeAlias = "float | LearningRateSchedule | Callable[[], float]"


class Optimizer(Configurable):
    """Base class of optimizers.

    A step clips the gradients, takes `weight_decay * learning_rate` of every parameter off it, and
    applies the rule of the optimizer.

    Args:
        learning_rate: >= 0, or a schedule, or a function that gives it before each step.
        weight_decay: >= 0; None for none.
        clipnorm: > 0; the gradient of each weight is scaled down to this Euclidean norm.
        clipvalue: > 0; every value of the gradients is clipped to its negative and itself.
        global_clipnorm: > 0; all gradients are scaled down together to this norm.
        name: made from the class name by default.

    To write an optimizer, override `slot_names` and `step`.

    Attributes:
        iterations: number of steps taken.
        slots: arrays of the size of the parameters that the optimizer keeps, by name.
        schedule: what gives the learning rate; None if it is a number.

    Raises:
        ValueError: numbers out of range, or more than one way to clip.
        TypeError: a learning rate that is none of the three.
    """

    def __init__(
        self,
        learning_rate: Rate,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or type(self).__name__.lower()
        self.iterations = 0
        self.schedule: LearningRateSchedule | Callable[[], float] | None = None
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        if weight_decay is not None:
            checked(self, "weight_decay", weight_decay, upper=math.inf)
        self.clipnorm = _checked_limit(self, "clipnorm", clipnorm)
        self.clipvalue = _checked_limit(self, "clipvalue", clipvalue)
        self.global_clipnorm = _checked_limit(self, "global_clipnorm", global_clipnorm)
        limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {key: value for key, value in limits.items() if value is not None}
        if len(given) > 1:
            expected = f"one of {', '.join(limits)}"
            raise value_error(type(self).__name__, "clipping", "is given twice", expected, given)
        self._clips = bool(given)
        self.slots: dict[str, Float32Array] = {}
        self.built = False
        self._scratch = np.empty(0, np.float32)
        self._weights: tuple[slice, ...] = ()
        self._owner: object = None

    @property
    def learning_rate(self) -> float:
        """The factor of the next step; a number may be set at any time."""
        if self.schedule is not None:
            self._learning_rate = self._scheduled(self.schedule)
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if callable(value):
            self.schedule = value
            return
        if isinstance(self.schedule, LearningRateSchedule):
            rule = "is given by a schedule and cannot be set"
            expected = "an optimizer made with a number"
            raise type_error(type(self).__name__, "learning_rate", rule, expected, value)
        try:
            rate = float(value)
        except (TypeError, ValueError):
            expected = "a float or a schedule"
            raise type_error(
                type(self).__name__, "learning_rate", "must be a number", expected, value
            ) from None
        self._learning_rate = checked(self, "learning_rate", rate, upper=math.inf)
        self.schedule = None

    def claim(self, owner: object) -> None:
        """Have the optimizer serve `owner`, and nothing else from now on.

        Raises:
            ValueError: it serves something else.
        """
        if self._owner is not None and self._owner is not owner:
            rule, expected = "serves another model", "an optimizer for each model"
            raise value_error(type(self).__name__, "the optimizer", rule, expected, self._owner)
        self._owner = owner

    def build(self, size: int, weights: Sequence[slice] | None = None) -> None:
        """Allocate state and scratch.

        Args:
            size: number of parameters.
            weights: where each weight lies among them; by default they are one weight.

        Raises:
            ValueError: the optimizer has state for another number of parameters.
        """
        self._weights = (slice(size),) if weights is None else tuple(weights)
        if self.built:
            if self._scratch.size != size:
                rule = "has state for other weights"
                expected = f"a new optimizer for {size} values"
                received = f"one for {self._scratch.size}"
                raise value_error(type(self).__name__, "the optimizer", rule, expected, received)
            return
        self.slots = {name: np.zeros(size, np.float32) for name in self.slot_names()}
        self._scratch = np.empty(size, np.float32)
        self.built = True

    def update(self, parameters: Float32Array, gradients: Float32Array) -> None:
        """Take one step: change `parameters` in place, and `gradients` where they are clipped.

        Args:
            parameters, gradients: `(size,)`, the same at every call.
        """
        if not self.built or self._scratch.size != parameters.size:
            self.build(parameters.size)
        if self.schedule is not None:
            self._learning_rate = self._scheduled(self.schedule)
        if self._clips:
            self._clip(gradients)
        if self.weight_decay is not None:
            parameters *= 1 - self.weight_decay * self._learning_rate
        self.step(parameters, gradients, self._scratch)
        self.iterations += 1

    def slot_names(self) -> tuple[str, ...]:
        """Names of the arrays that the optimizer keeps, each starting at 0."""
        return ()

    def step(
        self, parameters: Float32Array, gradients: Float32Array, scratch: Float32Array
    ) -> None:
        """Change `parameters`; `gradients` is read only; `scratch` may be overwritten."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again, without its state."""
        from fastconv.saving.objects import describe

        config = super().get_config()
        if self.schedule is not None:
            config["learning_rate"] = describe(self.schedule)
        return config

    def _scheduled(self, schedule: LearningRateSchedule | Callable[[], float]) -> float:
        if isinstance(schedule, LearningRateSchedule):
            return float(schedule(self.iterations))
        return float(schedule())

    def _clip(self, gradients: Float32Array) -> None:
        if self.clipvalue is not None:
            np.clip(gradients, -self.clipvalue, self.clipvalue, out=gradients)
        elif self.global_clipnorm is not None:
            _scale_down(gradients, self.global_clipnorm)
        elif self.clipnorm is not None:
            for weight in self._weights:
                _scale_down(gradients[weight], self.clipnorm)


def checked(
    optimizer: Optimizer,
    argument: str,
    value: float,
    *,
    upper: float = 1.0,
    open_end: bool = False,
) -> float:
    """`value` as a float if it is in [0, upper], or in [0, upper) with `open_end`.

    Raises:
        ValueError: it is not.
    """
    if not 0 <= value <= upper or (open_end and value == upper):
        end = "<" if open_end else "<="
        expected = ">= 0" if upper == math.inf else f"0 <= {argument} {end} {upper:g}"
        name = type(optimizer).__name__
        raise value_error(name, argument, "is out of range", expected, value)
    return float(value)


def _checked_limit(optimizer: Optimizer, argument: str, value: float | None) -> float | None:
    if value is not None and not value > 0:
        rule, name = "must be positive", type(optimizer).__name__
        raise value_error(name, argument, rule, "> 0 or None", value)
    return value


def _scale_down(gradient: Float32Array, limit: float) -> None:
    norm = math.sqrt(np.dot(gradient, gradient))
    # Not "norm > limit": a norm of NaN, as a gradient with NaN has, must leave nothing as it is.
    if not norm <= limit:
        gradient *= limit / norm
