"""Gradient descent, plain and with momentum."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import numpy as np

from fastconv.optimizers.optimizer import Float32Array, Optimizer, Rate, checked


class SGD(Optimizer):
    """Gradient descent.

    Without momentum `w -= lr * g`. With it `v = momentum * v - lr * g`, then `w += v`, or with
    `nesterov` `w += momentum * v - lr * g`.

    Args:
        learning_rate: >= 0, or a schedule.
        momentum: in [0, 1].
        nesterov: whether to look ahead.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: as for `Optimizer`.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.momentum = checked(self, "momentum", momentum)
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
