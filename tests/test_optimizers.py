"""Optimizers against their formulas, written out for one number at a time in float64."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import _core, optimizers
from fastconv.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop, schedules

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


def decayed(rule: Rule, decay: float, rate: float = 1e-3) -> Rule:
    return lambda w, g, state, time: rule(w - rate * decay * w, g, state, time)


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
    "SGD decay": (lambda: SGD(0.1, weight_decay=0.25), decayed(sgd(0.1), 0.25, 0.1)),
    "Adam decay": (lambda: Adam(weight_decay=0.5), decayed(adam(), 0.5)),
    "AdamW": (AdamW, decayed(adam(), 0.004)),
    "AdamW set": (
        lambda: AdamW(0.05, 0.5, amsgrad=True),
        decayed(adam(0.05, amsgrad=True), 0.5, 0.05),
    ),
    "RMSprop decay": (lambda: RMSprop(0.05, weight_decay=1.0), decayed(rmsprop(0.05), 1.0, 0.05)),
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


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("size", [1, 7, 16, 33, 70_001])
def test_adam_on_every_level_and_thread_count(isa: str, size: int, amsgrad: bool) -> None:
    """All vectors and what is left over, against NumPy in float64; bits for thread counts.

    With u the unit roundoff, m and v of the step round 3 values of at most 3u * rate * (|g| + |m|),
    or of squares, and one more as they are added up; v = 0 only where g = 0, so that v is off by at
    most 5u in proportion. The step rounds its root, a sum, a quotient and a product: half of 5u and
    4u more in proportion, besides what m brings; then w is rounded. 1 % for products of errors.
    """
    del isa
    generator = np.random.default_rng(size)
    m, w, g = generator.normal(size=(3, size)).astype(np.float32)
    v, top = generator.exponential(size=(2, size)).astype(np.float32)
    rates = (0.125, 2.0**-10, 2.0**-20, 0.5)  # the same numbers in float32
    results = []
    for threads in (1, 2, 3):
        state = [m.copy(), v.copy(), top.copy() if amsgrad else None, w.copy()]
        _core.adam_step(g, *state, *rates, threads)
        results.append([array.tobytes() for array in state if array is not None])
    assert results[0] == results[1] == results[2]

    wide = [array.astype(np.float64) for array in (g, m, v, top, w)]
    g64, m64, v64, top64, w64 = wide
    u = 1.01 * 2.0**-24
    m_error = 3 * u * rates[0] * (abs(g64) + abs(m64))
    m64 = m64 + (g64 - m64) * rates[0]
    m_error += u * abs(m64)
    v64 = v64 + (g64**2 - v64) * rates[1]
    root = np.maximum(v64, top64) if amsgrad else v64
    step = m64 / (np.sqrt(root) + rates[2]) * rates[3]
    step_error = m_error / (np.sqrt(root) + rates[2]) * rates[3] + 6.5 * u * abs(step)
    assert (abs(state[0] - m64) <= m_error).all()
    assert (abs(state[1] - v64) <= 5 * u * v64).all()
    if amsgrad:
        assert (abs(state[2] - root) <= 5 * u * root).all()
    assert (abs(state[3] - (w64 - step)) <= step_error + u * abs(w64 - step)).all()


def test_first_step_of_adam_has_the_size_of_the_learning_rate() -> None:
    """But for what float32 leaves of 1 - beta, as in Keras; `tests/peers` have its own steps."""
    parameters = np.zeros(2, np.float32)
    Adam(0.5, epsilon=0.0).update(parameters, np.float32([3, -1e-3]))
    rest_1, rest_2 = (1 - float(np.float32(beta)) for beta in (0.9, 0.999))
    step = 0.5 * (math.sqrt(rest_2) / rest_1) / (math.sqrt(1 - 0.999) / (1 - 0.9))
    assert abs(step - 0.5) > 2e-6
    np.testing.assert_allclose(parameters, [-step, step], rtol=1e-6)


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


PARTS = (slice(0, 3), slice(3, 4), slice(4, 9))


def clipped(gradients: list[float], **limits: float) -> list[float]:
    """By norms taken one weight at a time, or of all, or value by value."""
    if "clipvalue" in limits:
        return [min(max(g, -limits["clipvalue"]), limits["clipvalue"]) for g in gradients]
    parts = PARTS if "clipnorm" in limits else (slice(0, 9),)
    (limit,) = limits.values()
    result = list(gradients)
    for part in parts:
        norm = math.sqrt(sum(g * g for g in gradients[part]))
        result[part] = [g * min(1.0, limit / norm) for g in gradients[part]]
    return result


@pytest.mark.parametrize(
    "limits", [{"clipnorm": 1.5}, {"clipvalue": 0.7}, {"global_clipnorm": 2.0}], ids=str
)
def test_clipping(limits: dict[str, float]) -> None:
    generator = np.random.default_rng(1)
    parameters = generator.normal(size=9).astype(np.float32)
    expected = parameters.tolist()
    optimizer = SGD(0.1, momentum=0.5, **limits)  # type: ignore[arg-type]
    optimizer.build(9, PARTS)
    velocity = [0.0] * 9
    changed = 0
    for _ in range(STEPS):
        gradients = generator.normal(size=9).astype(np.float32)
        cut = clipped(gradients.tolist(), **limits)
        changed += sum(abs(a - b) > 1e-3 for a, b in zip(cut, gradients.tolist(), strict=True))
        optimizer.update(parameters, gradients)
        velocity = [0.5 * v - 0.1 * g for v, g in zip(velocity, cut, strict=True)]
        expected = [w + v for w, v in zip(expected, velocity, strict=True)]
    assert STEPS < changed < 9 * STEPS
    np.testing.assert_allclose(parameters, expected, atol=TOLERANCE)


@pytest.mark.parametrize("limits", [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}], ids=str)
def test_clipping_leaves_what_is_no_number_visible(limits: dict[str, float]) -> None:
    parameters = np.zeros(2, np.float32)
    SGD(0.5, **limits).update(parameters, np.float32([1, np.nan]))  # type: ignore[arg-type]
    assert np.isnan(parameters).all()


RATES: dict[str, tuple[schedules.LearningRateSchedule, Callable[[int], float]]] = {
    "exponential": (schedules.ExponentialDecay(0.3, 7, 0.5), lambda t: 0.3 * 0.5 ** (t / 7)),
    "staircase": (
        schedules.ExponentialDecay(0.3, 7, 0.5, staircase=True),
        lambda t: 0.3 * 0.5 ** (t // 7),
    ),
    "piecewise": (
        schedules.PiecewiseConstantDecay([3, 9], [0.3, 0.2, 0.1]),
        lambda t: 0.3 if t <= 3 else 0.2 if t <= 9 else 0.1,
    ),
    "cosine": (
        schedules.CosineDecay(0.3, 12, alpha=0.1),
        lambda t: 0.3 * (0.1 + 0.9 * math.cos(math.pi * min(t, 12) / 24) ** 2),
    ),
    "cosine with warm-up": (
        schedules.CosineDecay(0.1, 10, warmup_target=0.3, warmup_steps=4),
        lambda t: 0.1 + 0.05 * t if t < 4 else 0.3 * math.cos(math.pi * min(t - 4, 10) / 20) ** 2,
    ),
    "one cycle": (
        schedules.OneCycle(0.3, 16, 0.25, initial_divisor=10, final_divisor=100),
        lambda t: (
            0.03 + 0.27 * math.sin(math.pi * t / 8) ** 2
            if t < 4
            else 0.003 + 0.297 * math.cos(math.pi * min(t - 4, 12) / 24) ** 2
        ),
    ),
}


@pytest.mark.parametrize(("schedule", "rate"), RATES.values(), ids=RATES)
def test_schedules(schedule: schedules.LearningRateSchedule, rate: Callable[[int], float]) -> None:
    optimizer = SGD(schedule)
    parameters, expected = np.zeros(1, np.float32), 0.0
    for step in range(STEPS):
        assert schedule(step) == pytest.approx(rate(step), rel=1e-12)
        assert optimizer.learning_rate == schedule(step)
        optimizer.update(parameters, np.ones(1, np.float32))
        expected -= rate(step)
        assert parameters[0] == pytest.approx(expected, abs=TOLERANCE)
    assert len({round(rate(step), 9) for step in range(STEPS)}) > 2


def test_rates_from_functions_and_schedules_set_later() -> None:
    rates = iter([0.5, 0.25, 0.125])
    optimizer = SGD(lambda: next(rates))
    parameters = np.zeros(1, np.float32)
    optimizer.update(parameters, np.ones(1, np.float32))
    optimizer.update(parameters, np.ones(1, np.float32))
    assert parameters[0] == -0.75
    optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == 0.5
    optimizer.learning_rate = schedules.ExponentialDecay(1.0, 1, 0.5)
    assert optimizer.learning_rate == 0.25
    with pytest.raises(TypeError, match="SGD: learning_rate is given by a schedule and cannot be"):
        optimizer.learning_rate = 0.5


def test_decay_takes_the_rate_of_the_schedule() -> None:
    parameters = np.ones(1, np.float32)
    optimizer = SGD(schedules.PiecewiseConstantDecay([0], [0.5, 0.25]), weight_decay=0.5)
    for _ in range(2):
        optimizer.update(parameters, np.zeros(1, np.float32))
    assert parameters[0] == (1 - 0.5 * 0.5) * (1 - 0.25 * 0.5)


def test_keras_defaults() -> None:
    w = AdamW()
    assert (w.learning_rate, w.weight_decay, w.beta_1, w.beta_2) == (0.001, 0.004, 0.9, 0.999)
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
        (lambda: SGD(weight_decay=-1), "SGD: weight_decay is out of range, expected >= 0"),
        (lambda: AdamW(weight_decay=None), "AdamW: weight_decay must be a number"),  # type: ignore[arg-type]
        (lambda: SGD(clipnorm=0), "SGD: clipnorm must be positive, expected > 0 or None"),
        (lambda: SGD(clipvalue=-1), "SGD: clipvalue must be positive"),
        (lambda: SGD(global_clipnorm=math.nan), "SGD: global_clipnorm must be positive"),
        (lambda: SGD(clipnorm=1, clipvalue=1), "SGD: clipping is given twice, expected one of"),
        (lambda: schedules.CosineDecay(0.1, 0), "CosineDecay: decay_steps must be positive"),
        (lambda: schedules.CosineDecay(0.1, 1, warmup_steps=-1), "warmup_steps must not be neg"),
        (lambda: schedules.ExponentialDecay(0.1, -1, 0.5), "decay_steps must be positive"),
        (lambda: schedules.PiecewiseConstantDecay([1], [0.1]), "values must be one more than bou"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), "boundaries must ascend"),
        (lambda: schedules.OneCycle(0.1, 0), "OneCycle: total_steps must be positive"),
        (lambda: schedules.OneCycle(0.1, 9, 1.0), "OneCycle: warmup_share is out of range"),
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
    assert isinstance(optimizers.get("AdamW"), AdamW)
    optimizer = Adam()
    assert optimizers.get(optimizer) is optimizer
    assert optimizer.name == "adam"


def test_state_is_for_one_size() -> None:
    optimizer = SGD()
    optimizer.build(3)
    optimizer.build(3)
    with pytest.raises(ValueError, match="has state for other weights"):
        optimizer.build(4)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1, 0.5, True, clipvalue=2.0, name="mine"),
        Adam(schedules.CosineDecay(0.1, 10, warmup_target=0.5, warmup_steps=3)),
        AdamW(schedules.PiecewiseConstantDecay([3, 9], [0.3, 0.2, 0.1]), global_clipnorm=1.0),
        Adam(schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), amsgrad=True),
        RMSprop(schedules.OneCycle(0.5, 100), 0.5, clipnorm=1.0, centered=True),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_configurations(optimizer: Optimizer) -> None:
    config = json.loads(json.dumps(optimizer.get_config()))
    again = type(optimizer).from_config(config)
    assert again.get_config() == optimizer.get_config()
    for step in (0, 5, 20):
        optimizer.iterations = again.iterations = step
        assert again.learning_rate == optimizer.learning_rate
