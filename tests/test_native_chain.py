"""Inference as one native call: the bits of the single steps, and weights that change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import _core, config, layers
from fastconv.models.plan import Plan
from seed_models import m1, m3
from support.arrays import assert_same_bits, reals


def floats(seed: int, *shape: int) -> Any:
    """Real values in float32."""
    return reals(seed, *shape).astype(np.float32)


def conv_without_pool() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input(shape=(11, 9, 5)),
            layers.Conv2D(7, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(14, 3, dilation_rate=2, padding="same", groups=7, use_bias=False),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Flatten(),
            layers.Dense(70, activation="relu"),
            layers.Dense(3),
        ]
    )


def winograd_without_pool() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input(shape=(15, 13, 16)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def depthwise_without_pool() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input(shape=(15, 14, 35)),
            layers.Conv2D(35, 3, padding="same", groups=35, activation="relu"),
            layers.Conv2D(35, 3, strides=2, padding="same", groups=35),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


MODELS = {
    "m1": m1,
    "m3": m3,
    "conv_without_pool": conv_without_pool,
    "winograd_without_pool": winograd_without_pool,
    "depthwise_without_pool": depthwise_without_pool,
}
models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def plan_of(model: Any) -> Plan:
    model.compile("adam", "sparse_categorical_crossentropy")
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    plan: Plan = model._plan
    return plan


def step_by_step(plan: Plan, x: Any) -> Any:
    for step in plan.steps:
        x, _ = step.runner.forward(x, training=False)
    return x


@models
@pytest.mark.usefixtures("isa")
def test_results_have_the_bits_of_the_single_steps(make: Any, num_threads: int) -> None:
    model = make()
    plan = plan_of(model)
    with config.num_threads(num_threads):
        for batch in (1, 2, 7, 70):
            x = floats(batch, batch, *model.input_shape[1:])
            result = plan.forward(x)
            assert plan._native is not None
            assert_same_bits(plan._native.run(x, softmax=False), result)
            expected = step_by_step(plan, x)
            assert_same_bits(result, expected)
            probabilities = plan.finish(expected)
            assert_same_bits(plan.predict(x), probabilities)
            assert_same_bits(plan.predict_unchecked(x), probabilities)


@pytest.mark.usefixtures("isa")
def test_values_that_winograd_cannot_take(num_threads: int) -> None:
    model = m1()
    plan = plan_of(model)
    with config.num_threads(num_threads), np.errstate(all="ignore"):
        for batch in (1, 3):
            for value in (1e37, np.inf, np.nan):
                for place in ((0, 0), (13, 14), (27, 27)):
                    x = floats(batch, batch, 28, 28, 1)
                    x[(-1, *place)] = value
                    assert_same_bits(plan.forward(x), step_by_step(plan, x))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.usefixtures("isa")
def test_changed_weights_are_seen(samples: int, num_threads: int) -> None:
    model = m1()
    plan = plan_of(model)
    x = floats(1, samples, 28, 28, 1)
    with config.num_threads(num_threads):
        before = plan.forward(x)
        native = plan._native
        for variable in model.weights:
            for place in (0, variable.value.size // 2, -1):
                variable.value.flat[place] += np.float32(0.25)  # in place, behind everyone's back
                result = plan.forward(x)
                assert plan._native is native
                assert_same_bits(result, step_by_step(plan, x))
            variable.value += np.float32(0.25)
            result = plan.forward(x)
            assert not np.array_equal(result, before)
            before = result
        model.fit(np.zeros((4, 28, 28, 1)), np.zeros(4), epochs=1, verbose=0)  # moves the weights
        assert_same_bits(plan.forward(x), step_by_step(plan, x))


def test_level_and_precision_may_change() -> None:
    model = m1()
    plan = plan_of(model)
    x = floats(1, 5, 28, 28, 1)
    for level in keras.available_isas():
        with keras.use_isa(level):
            assert_same_bits(plan.forward(x), step_by_step(plan, x))
    standard = plan.forward(x)
    try:
        config.set_precision("strict")
        assert_same_bits(plan.forward(x), step_by_step(plan, x))
        assert not np.array_equal(plan.forward(x), standard)
    finally:
        config.set_precision("default")


def test_many_threads_at_once() -> None:
    plan = plan_of(m1())
    batches = [floats(n, n % 4 + 1, 28, 28, 1) for n in range(24)]
    expected = [step_by_step(plan, x) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        for result, wanted in zip(pool.map(plan.forward, batches), expected, strict=True):
            assert_same_bits(result, wanted)


def test_other_models_go_step_by_step() -> None:
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(3, activation="tanh"), layers.Dense(2)]
    )
    plan = plan_of(model)
    assert plan._native is not None
    assert not plan._native.complete
    x = floats(1, 2, 4)
    assert_same_bits(plan.forward(x), step_by_step(plan, x))


def test_empty_batch() -> None:
    assert plan_of(m1()).forward(np.zeros((0, 28, 28, 1), np.float32)).shape == (0, 10)


def chain() -> Any:
    native = _core.Chain((6, 6, 1))
    native.conv2d(np.ones((3, 3, 1, 2), np.float32), None, (1, 1, 1, 1, 0, 0, 0, 0, 1), False)
    native.flatten()
    return native


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 6, 5, 1), np.float32),
        np.zeros((2, 6, 6), np.float32),
        np.zeros((), np.float32),
        np.zeros((2, 6, 6, 1)),
        np.zeros((2, 6, 6, 1), ">f4"),
        np.zeros((2, 6, 6, 2), np.float32)[..., :1],
        np.zeros(289, np.uint8)[1:].view(np.float32).reshape(2, 6, 6, 1),
        np.zeros((2, 6, 6, 1), np.float32).tolist(),
        None,
    ],
    ids=["size", "rank", "scalar", "float64", "swapped", "strided", "misaligned", "list", "none"],
)
def test_core_leaves_other_inputs_to_python(x: Any) -> None:
    native = chain()
    assert native.run(x, False, 1) is None
    assert native.run(np.zeros((2, 6, 6, 1), np.float32), False, 1).shape == (2, 32)


def test_calls_check_what_the_chain_does_not_take() -> None:
    model = keras.Sequential([keras.Input((4,), batch_size=2), layers.Dense(3)])
    x = floats(1, 2, 4)
    expected = model(x)
    assert_same_bits(model(x.astype(np.float64)), expected)
    assert_same_bits(model(x.tolist()), expected)
    for wrong in (floats(1, 3, 4), floats(1, 2, 5)):
        with pytest.raises(ValueError, match="does not fit the input"):
            model(wrong)


def test_core_refuses_layers_that_do_not_fit() -> None:
    kernel = np.ones((3, 3, 2, 2), np.float32)
    geometry = (1, 1, 1, 1, 0, 0, 0, 0, 1)
    native = _core.Chain((6, 6, 1))
    with pytest.raises(ValueError, match="kernel"):
        native.conv2d(kernel, None, geometry, False)
    with pytest.raises(TypeError, match="dtype"):
        native.conv2d(kernel[:, :, :1].astype(np.float64), None, geometry, False)
    with pytest.raises(ValueError, match="flat vectors"):
        native.dense(np.ones((36, 2), np.float32), None, False)
    with pytest.raises(ValueError, match="no layers"):
        native.run(np.zeros((1, 6, 6, 1), np.float32), False, 1)
    native.flatten()
    with pytest.raises(ValueError, match="images"):
        native.conv2d(kernel, None, geometry, False)
    with pytest.raises(ValueError, match="image_shape"):
        _core.Chain((2**40, 2**40))
