"""Optimizers against their formulas, written out for one number at a time in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import optimizers
from fastconv.optimizers import SGD, Adam, Optimizer, RMSprop

STEPS = 20
# Each step rounds a few numbers of about 1 in float32; the parameters, of about 1, add up 20 steps.
TOLERANCE = STEPS * 8 * 2.0**-24
Rule = Callable[[float, float, dict[str, float], int], float]


def sgd(lr: float, momentum: float = 0.0, nesterov: bool = False) -> Rule:
    def rule(w: float, g: float, state: dict[str, float], time: int) -> float:
        del time
        v = state["v"] = momentum * state.get("v", 0) - lr * g
        return w + momentum * v - lr * g if nesterov else w + v

    return rule


def adam(
    lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-7, amsgrad: bool = False
) -> Rule:
    def rule(w: float, g: float, state: dict[str, float], time: int) -> float:
        m = state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
        v = state["v"] = b2 * state.get("v", 0) + (1 - b2) * g**2
        state["top"] = max(state.get("top", 0), v)
        alpha = lr * math.sqrt(1 - b2**time) / (1 - b1**time)
        return w - alpha * m / (math.sqrt(state["top"] if amsgrad else v) + eps)

    return rule


def rmsprop(
    lr: float = 1e-3,
    rho: float = 0.9,
    momentum: float = 0.0,
    eps: float = 1e-7,
    centered: bool = False,
) -> Rule:
    def rule(w: float, g: float, state: dict[str, float], time: int) -> float:
        del time
        v = state["v"] = rho * state.get("v", 0) + (1 - rho) * g**2
        a = state["a"] = rho * state.get("a", 0) + (1 - rho) * g
        step = lr * g / math.sqrt(v - (a**2 if centered else 0) + eps)
        u = state["u"] = momentum * state.get("u", 0) + step
        return w - u

    return rule


CASES: dict[str, tuple[Callable[[], Optimizer], Rule]] = {
    "SGD": (SGD, sgd(0.01)),
    "SGD fast": (lambda: SGD(0.3), sgd(0.3)),
    "SGD momentum": (lambda: SGD(0.1, 0.9), sgd(0.1, 0.9)),
    "SGD nesterov": (lambda: SGD(0.1, 0.9, True), sgd(0.1, 0.9, True)),
    "SGD nesterov without momentum": (lambda: SGD(0.1, 0.0, True), sgd(0.1)),
    "Adam": (Adam, adam()),
    "Adam set": (lambda: Adam(0.05, 0.7, 0.9, 1e-3), adam(0.05, 0.7, 0.9, 1e-3)),
    "Adam amsgrad": (lambda: Adam(0.01, amsgrad=True), adam(0.01, amsgrad=True)),
    "RMSprop": (RMSprop, rmsprop()),
    "RMSprop set": (lambda: RMSprop(0.05, 0.7, 0.5, 1e-3), rmsprop(0.05, 0.7, 0.5, 1e-3)),
    "RMSprop centered": (
        lambda: RMSprop(0.01, epsilon=0.1, centered=True),
        rmsprop(0.01, eps=0.1, centered=True),
    ),
}


@pytest.mark.parametrize(("make", "rule"), CASES.values(), ids=CASES)
def test_formulas(make: Callable[[], Optimizer], rule: Rule) -> None:
    generator = np.random.default_rng(1)
    parameters = generator.normal(size=9).astype(np.float32)
    expected = parameters.astype(float).tolist()
    states: list[dict[str, float]] = [{} for _ in expected]
    optimizer = make()
    memory = parameters.ctypes.data
    for step in range(1, STEPS + 1):
        gradients = generator.normal(size=9).astype(np.float32)
        before = gradients.copy()
        optimizer.update(parameters, gradients)
        assert np.array_equal(gradients, before)
        for index, g in enumerate(gradients.tolist()):
            expected[index] = rule(expected[index], g, states[index], step)
    assert parameters.ctypes.data == memory
    assert optimizer.iterations == STEPS
    moved = np.abs(parameters - generator.normal(size=9)).max()
    assert moved > 100 * TOLERANCE
    np.testing.assert_allclose(parameters, expected, atol=TOLERANCE)


@pytest.mark.parametrize(("make", "rule"), CASES.values(), ids=CASES)
def test_zero_gradients_leave_zero_parameters(make: Callable[[], Optimizer], rule: Rule) -> None:
    """The gaps between weights in the flat buffer must stay 0."""
    assert rule(0.0, 0.0, {}, 1) == 0
    parameters, gradients = np.zeros(3, np.float32), np.zeros(3, np.float32)
    optimizer = make()
    for _ in range(3):
        optimizer.update(parameters, gradients)
    assert parameters.tolist() == [0, 0, 0]


def test_first_step_of_adam_has_the_size_of_the_learning_rate() -> None:
    parameters = np.zeros(2, np.float32)
    Adam(0.5, epsilon=0.0).update(parameters, np.float32([3, -1e-3]))
    np.testing.assert_allclose(parameters, [-0.5, 0.5], rtol=1e-6)


def test_scratch_and_state_are_allocated_once() -> None:
    optimizer = Adam()
    parameters, gradients = np.ones(5, np.float32), np.ones(5, np.float32)
    optimizer.update(parameters, gradients)
    kept = {name: slot.ctypes.data for name, slot in optimizer.slots.items()}
    assert list(kept) == ["momentum", "velocity"]
    optimizer.update(parameters, gradients)
    assert {name: slot.ctypes.data for name, slot in optimizer.slots.items()} == kept


def test_learning_rate_is_settable() -> None:
    optimizer = SGD(0.5)
    parameters = np.zeros(1, np.float32)
    optimizer.update(parameters, np.ones(1, np.float32))
    optimizer.learning_rate = 0.25
    optimizer.update(parameters, np.ones(1, np.float32))
    assert parameters[0] == -0.75
    assert optimizer.learning_rate == 0.25


def test_keras_defaults() -> None:
    assert SGD().learning_rate == 0.01
    assert SGD().momentum == 0
    assert not SGD().nesterov
    adam_ = Adam()
    assert (adam_.learning_rate, adam_.beta_1, adam_.beta_2) == (0.001, 0.9, 0.999)
    assert adam_.epsilon == 1e-7
    rms = RMSprop()
    assert (rms.learning_rate, rms.rho, rms.momentum, rms.epsilon) == (0.001, 0.9, 0, 1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(-1), "SGD: learning_rate is out of range, expected >= 0, received -1"),
        (lambda: SGD(math.nan), "SGD: learning_rate is out of range"),
        (lambda: SGD(momentum=1.5), "SGD: momentum is out of range"),
        (lambda: Adam(beta_1=1.0), "Adam: beta_1 is out of range, expected 0 <= beta_1 < 1"),
        (lambda: Adam(beta_2=-0.1), "Adam: beta_2 is out of range"),
        (lambda: Adam(epsilon=-1), "Adam: epsilon is out of range"),
        (lambda: RMSprop(rho=2), "RMSprop: rho is out of range"),
        (lambda: optimizers.get("sgdm"), "optimizers.get: identifier is not known, expected one"),
        (lambda: setattr(Adam(), "learning_rate", -2), "Adam: learning_rate is out of range"),
    ],
)
def test_values_out_of_range(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_types() -> None:
    with pytest.raises(TypeError, match="Adam: learning_rate must be a number"):
        Adam("fast")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"optimizers\.get: identifier must be an optimizer"):
        optimizers.get(0.1)  # type: ignore[arg-type]


def test_get() -> None:
    assert isinstance(optimizers.get("SGD"), SGD)
    assert isinstance(optimizers.get("rmsprop"), RMSprop)
    optimizer = Adam()
    assert optimizers.get(optimizer) is optimizer
    assert optimizer.name == "adam"


def test_state_is_for_one_size() -> None:
    optimizer = SGD()
    optimizer.build(3)
    optimizer.build(3)
    with pytest.raises(ValueError, match="has state for other weights"):
        optimizer.build(4)
