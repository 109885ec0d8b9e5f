"""RMSprop."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import math

import numpy as np

from fastconv.optimizers.optimizer import Float32Array, Optimizer, Rate, checked


class RMSprop(Optimizer):
    """RMSprop: the gradient over a running root mean square of it.

    - `v = rho * v + (1 - rho) * g**2`;
    - `d = lr * g / sqrt(v + epsilon)`, with `centered` the mean gradient a
      (`a = rho * a + (1 - rho) * g`) taken off: `sqrt(v - a**2 + epsilon)`;
    - `w -= d`, or with momentum `u = momentum * u + d`, `w -= u`.

    Source: Hinton's lecture (2012), in Keras' form.

    Args:
        learning_rate: >= 0, or a schedule.
        epsilon: >= 0.
        rho: in [0, 1).
        momentum: in [0, 1].
        centered: whether to normalise by the variance.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: as for `Optimizer`.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.rho = checked(self, "rho", rho, open_end=True)
        self.momentum = checked(self, "momentum", momentum)
        self.epsilon = checked(self, "epsilon", epsilon, upper=math.inf)
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
