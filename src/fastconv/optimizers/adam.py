"""Adam and its relatives."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

import math

import numpy as np

from fastconv import _core
from fastconv._errors import value_error
from fastconv.optimizers.optimizer import Float32Array, Optimizer, Rate, checked


class Adam(Optimizer):
    """Adam, in the form of Keras.

    With t the number of the step, from 1:

    - `m += (1 - beta_1) * (g - m)`, `v += (1 - beta_2) * (g**2 - v)`;
    - `alpha = lr * sqrt(1 - beta_2**t) / (1 - beta_1**t)`, both powers as float32 holds them;
    - `w -= alpha * m / (sqrt(v) + epsilon)`; with `amsgrad`, the largest v so far.

    Source: Kingma and Ba (2014), section 2.1, whose "epsilon hat" is `epsilon`; Reddi et al.
    (2018) for `amsgrad`.

    Args:
        learning_rate: >= 0, or a schedule.
        epsilon: >= 0.
        beta_1, beta_2: in [0, 1).
        amsgrad: whether v may not shrink.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: as for `Optimizer`.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.beta_1 = checked(self, "beta_1", beta_1, open_end=True)
        self.beta_2 = checked(self, "beta_2", beta_2, open_end=True)
        self.epsilon = checked(self, "epsilon", epsilon, upper=math.inf)
        self.amsgrad = bool(amsgrad)

    def slot_names(self) -> tuple[str, ...]:
        names = ("momentum", "velocity")
        return (*names, "velocity_hat") if self.amsgrad else names

    def step(
        self, parameters: Float32Array, gradients: Float32Array, scratch: Float32Array
    ) -> None:
        time = self.iterations + 1
        correction = math.sqrt(1 - _power(self.beta_2, time)) / (1 - _power(self.beta_1, time))
        _core.adam_step(
            gradients,
            self.slots["momentum"],
            self.slots["velocity"],
            self.slots.get("velocity_hat"),
            parameters,
            1 - self.beta_1,
            1 - self.beta_2,
            self.epsilon,
            self._learning_rate * correction,
            0,
        )


def _power(base: float, exponent: int) -> float:
    """The power as Keras has it, whose base and result are float32.

    What is left of 1 is small in the first steps: that of 0.999 is off by 1.3e-5 of itself. With
    exact powers every step differs from Keras' by 6e-6, and after 50 of them, with the kinks of
    maxima and ReLUs, losses by more than 1e-3.
    """
    return float(np.float32(float(np.float32(base)) ** exponent))


class AdamW(Adam):
    """Adam with decoupled weight decay: before each step `w -= lr * weight_decay * w`.

    Source: Loshchilov and Hutter (2019), in Keras' form, which scales the decay by the rate.

    Args:
        weight_decay: >= 0.
        learning_rate, beta_1, beta_2, epsilon, amsgrad: as for `Adam`.
        clipnorm, clipvalue, global_clipnorm, name: as for `Optimizer`.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        if weight_decay is None:
            rule, expected = "must be a number", "a float >= 0 (Adam has no decay)"
            raise value_error(type(self).__name__, "weight_decay", rule, expected, weight_decay)
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            name=name,
        )
