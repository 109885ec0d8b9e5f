"""Optimizers: Keras 3's names, defaults and formulas, over one flat buffer.

All parameters of a model are one array and so are their gradients: a step is a few passes of NumPy
over them, in place, with scratch that is allocated once.
"""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error

if TYPE_CHECKING:
    from collections.abc import Callable

Float32Array: TypeAlias = npt.NDArray[np.float32]


class Optimizer:
    """Base class of optimizers.

    Args:
        learning_rate: >= 0; may be set at any time.
        name: made from the class name by default.

    To write an optimizer, override `create_slots` and `step`.

    Attributes:
        iterations: number of steps taken.
        slots: arrays of the size of the parameters that the optimizer keeps, by name.
    """

    def __init__(self, learning_rate: float, name: str | None) -> None:
        self.name = name or type(self).__name__.lower()
        self.learning_rate = learning_rate
        self.iterations = 0
        self.slots: dict[str, Float32Array] = {}
        self.built = False
        self._scratch = np.empty(0, np.float32)
        self._owner: object = None

    @property
    def learning_rate(self) -> float:
        """The factor of a step."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        try:
            rate = float(value)
        except (TypeError, ValueError):
            raise type_error(
                type(self).__name__, "learning_rate", "must be a number", "a float", value
            ) from None
        self._learning_rate = _checked(self, "learning_rate", rate, upper=math.inf)

    def claim(self, owner: object) -> None:
        """Have the optimizer serve `owner`, and nothing else from now on.

        Raises:
            ValueError: it serves something else.
        """
        if self._owner is not None and self._owner is not owner:
            rule, expected = "serves another model", "an optimizer for each model"
            raise value_error(type(self).__name__, "the optimizer", rule, expected, self._owner)
        self._owner = owner

    def build(self, size: int) -> None:
        """Allocate state and scratch for `size` parameters.

        Raises:
            ValueError: the optimizer has state for another number of them.
        """
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
        """Take one step: change `parameters` in place; `gradients` is read only.

        Args:
            parameters, gradients: `(size,)`, the same at every call.
        """
        self.build(parameters.size)
        self.step(parameters, gradients, self._scratch)
        self.iterations += 1

    def slot_names(self) -> tuple[str, ...]:
        """Names of the arrays that the optimizer keeps, each starting at 0."""
        return ()

    def step(
        self, parameters: Float32Array, gradients: Float32Array, scratch: Float32Array
    ) -> None:
        """Change `parameters`; `scratch` may be overwritten."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent.

    Without momentum `w -= lr * g`. With it `v = momentum * v - lr * g`, then `w += v`, or with
    `nesterov` `w += momentum * v - lr * g`.

    Args:
        learning_rate: >= 0.
        momentum: in [0, 1].
        nesterov: whether to look ahead.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, name)
        self.momentum = _checked(self, "momentum", momentum)
        self.nesterov = bool(nesterov)

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def step(
        self, parameters: Float32Array, gradients: Float32Array, scratch: Float32Array
    ) -> None:
        np.multiply(gradients, self._learning_rate, out=scratch)
        if not self.momentum:
            parameters -= scratch
            return
        velocity = self.slots["momentum"]
        velocity *= self.momentum
        velocity -= scratch
        if not self.nesterov:
            parameters += velocity
            return
        parameters -= scratch
        np.multiply(velocity, self.momentum, out=scratch)
        parameters += scratch


class Adam(Optimizer):
    """Adam, in the form of Keras.

    With t the number of the step, from 1:

    - `m += (1 - beta_1) * (g - m)`, `v += (1 - beta_2) * (g**2 - v)`;
    - `alpha = lr * sqrt(1 - beta_2**t) / (1 - beta_1**t)`;
    - `w -= alpha * m / (sqrt(v) + epsilon)`; with `amsgrad`, the largest v so far.

    Source: Kingma and Ba (2014), section 2.1, whose "epsilon hat" is `epsilon`; Reddi et al.
    (2018) for `amsgrad`.

    Args:
        learning_rate, epsilon: >= 0.
        beta_1, beta_2: in [0, 1).
        amsgrad: whether v may not shrink.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, name)
        self.beta_1 = _checked(self, "beta_1", beta_1, open_end=True)
        self.beta_2 = _checked(self, "beta_2", beta_2, open_end=True)
        self.epsilon = _checked(self, "epsilon", epsilon, upper=math.inf)
        self.amsgrad = bool(amsgrad)

    def slot_names(self) -> tuple[str, ...]:
        names = ("momentum", "velocity")
        return (*names, "velocity_hat") if self.amsgrad else names

    def step(
        self, parameters: Float32Array, gradients: Float32Array, scratch: Float32Array
    ) -> None:
        time = self.iterations + 1
        m, v = self.slots["momentum"], self.slots["velocity"]
        np.subtract(gradients, m, out=scratch)
        scratch *= 1 - self.beta_1
        m += scratch
        np.multiply(gradients, gradients, out=scratch)
        scratch -= v
        scratch *= 1 - self.beta_2
        v += scratch
        if self.amsgrad:
            v = np.maximum(self.slots["velocity_hat"], v, out=self.slots["velocity_hat"])
        np.sqrt(v, out=scratch)
        scratch += self.epsilon
        np.divide(m, scratch, out=scratch)
        correction = math.sqrt(1 - self.beta_2**time) / (1 - self.beta_1**time)
        scratch *= self._learning_rate * correction
        parameters -= scratch


class RMSprop(Optimizer):
    """RMSprop: the gradient over a running root mean square of it.

    - `v = rho * v + (1 - rho) * g**2`;
    - `d = lr * g / sqrt(v + epsilon)`, with `centered` the mean gradient a
      (`a = rho * a + (1 - rho) * g`) taken off: `sqrt(v - a**2 + epsilon)`;
    - `w -= d`, or with momentum `u = momentum * u + d`, `w -= u`.

    Source: Hinton's lecture (2012), in Keras' form.

    Args:
        learning_rate, epsilon: >= 0.
        rho: in [0, 1).
        momentum: in [0, 1].
        centered: whether to normalise by the variance.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, name)
        self.rho = _checked(self, "rho", rho, open_end=True)
        self.momentum = _checked(self, "momentum", momentum)
        self.epsilon = _checked(self, "epsilon", epsilon, upper=math.inf)
        self.centered = bool(centered)

    def slot_names(self) -> tuple[str, ...]:
        momentum = ("momentum",) if self.momentum else ()
        return ("velocity", *momentum, *(("average_gradient",) if self.centered else ()))

    def step(
        self, parameters: Float32Array, gradients: Float32Array, scratch: Float32Array
    ) -> None:
        v = self.slots["velocity"]
        np.multiply(gradients, gradients, out=scratch)
        scratch *= 1 - self.rho
        v *= self.rho
        v += scratch
        if self.centered:
            average = self.slots["average_gradient"]
            np.multiply(gradients, 1 - self.rho, out=scratch)
            average *= self.rho
            average += scratch
            np.multiply(average, average, out=scratch)
            np.subtract(v, scratch, out=scratch)
            scratch += self.epsilon
        else:
            np.add(v, self.epsilon, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(gradients, scratch, out=scratch)
        scratch *= self._learning_rate
        if self.momentum:
            momentum = self.slots["momentum"]
            momentum *= self.momentum
            momentum += scratch
            scratch = momentum
        parameters -= scratch


def _checked(
    optimizer: Optimizer,
    argument: str,
    value: float,
    *,
    upper: float = 1.0,
    open_end: bool = False,
) -> float:
    if not 0 <= value <= upper or (open_end and value == upper):
        end = "<" if open_end else "<="
        expected = ">= 0" if upper == math.inf else f"0 <= {argument} {end} {upper:g}"
        name = type(optimizer).__name__
        raise value_error(name, argument, "is out of range", expected, value)
    return float(value)


_NAMES: dict[str, Callable[[], Optimizer]] = {"sgd": SGD, "adam": Adam, "rmsprop": RMSprop}


def get(identifier: str | Optimizer) -> Optimizer:
    """The optimizer of a name, in any case.

    >>> get("adam").learning_rate
    0.001

    Raises:
        ValueError: an unknown name.
        TypeError: something else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if not isinstance(identifier, str):
        rule = "must be an optimizer"
        raise type_error("optimizers.get", "identifier", rule, "a name or an Optimizer", identifier)
    if identifier.lower() not in _NAMES:
        expected = f"one of {', '.join(_NAMES)}"
        raise value_error("optimizers.get", "identifier", "is not known", expected, identifier)
    return _NAMES[identifier.lower()]()
