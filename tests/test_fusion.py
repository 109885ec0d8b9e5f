"""Plans: which layers run as one step, and that the results are those of the layers alone.

Weights and inputs are small integers, so that every sum is exact and equality has no tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import _core, layers, ops
from fastconv.layers import Layer
from fastconv.models.fusion import Conv2DMaxPooling2D
from fastconv.models.graph import Graph
from fastconv.models.parameters import FlatParameters
from fastconv.models.plan import Plan
from support.arrays import assert_equal, assert_exact_in_float32, assert_mostly_nonzero, integers


def chain(shape: tuple[int, ...], *parts: Layer) -> keras.Sequential:
    model = keras.Sequential([keras.Input(shape), *parts])
    model.set_weights([integers(index, *w.shape) for index, w in enumerate(model.get_weights())])
    return model


def steps_of(model: keras.Sequential) -> list[str]:
    return [type(step.runner).__name__ for step in model._get_plan().steps]


FUSED = "Conv2DMaxPooling2D"
CHAINS: dict[str, tuple[Callable[[], keras.Sequential], list[str]]] = {
    "conv relu, pool": (
        lambda: chain((7, 6, 2), layers.Conv2D(3, 3, activation="relu"), layers.MaxPooling2D()),
        [FUSED],
    ),
    "conv, pool": (
        lambda: chain((7, 6, 2), layers.Conv2D(3, 3), layers.MaxPooling2D(3, 1)),
        [FUSED],
    ),
    "conv, relu layer, pool": (
        lambda: chain(
            (9, 9, 2), layers.Conv2D(3, 3, 2, "same"), layers.ReLU(), layers.MaxPooling2D()
        ),
        [FUSED],
    ),
    "conv, relu activation, pool": (
        lambda: chain(
            (7, 6, 2),
            layers.Conv2D(4, 2, groups=2, use_bias=False),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
        ),
        [FUSED],
    ),
    "channels first": (
        lambda: chain(
            (2, 7, 6),
            layers.Conv2D(3, 3, activation="relu", data_format="channels_first"),
            layers.MaxPooling2D(data_format="channels_first"),
        ),
        [FUSED],
    ),
    "conv, relu, flatten": (
        lambda: chain((5, 5, 2), layers.Conv2D(3, 3), layers.ReLU(), layers.Flatten()),
        ["Conv2D", "Flatten"],
    ),
    "dense, relu": (
        lambda: chain((9,), layers.Dense(7), layers.ReLU(), layers.Dense(3, "relu")),
        ["Dense", "Dense"],
    ),
    "pool of partial windows": (
        lambda: chain(
            (7, 6, 2), layers.Conv2D(3, 3, activation="relu"), layers.MaxPooling2D(padding="same")
        ),
        ["Conv2D", "MaxPooling2D"],
    ),
    "two layouts": (
        lambda: chain(
            (7, 6, 2),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(data_format="channels_first"),
        ),
        ["Conv2D", "MaxPooling2D"],
    ),
    "relu twice": (
        lambda: chain((7, 6, 2), layers.Conv2D(4, 3, activation="relu"), layers.ReLU()),
        ["Conv2D", "ReLU"],
    ),
    "another relu": (
        lambda: chain((7, 6, 2), layers.Conv2D(4, 3), layers.ReLU(6)),
        ["Conv2D", "ReLU"],
    ),
    "pool, conv": (
        lambda: chain((9, 8, 2), layers.MaxPooling2D(), layers.Conv2D(4, 3, activation="relu")),
        ["MaxPooling2D", "Conv2D"],
    ),
    "nothing": (lambda: chain((3,), layers.Flatten()), ["Flatten"]),
}


@pytest.mark.parametrize(("make", "names"), CHAINS.values(), ids=CHAINS)
def test_steps(make: Callable[[], keras.Sequential], names: list[str]) -> None:
    assert steps_of(make()) == names


@pytest.mark.parametrize(("make", "names"), CHAINS.values(), ids=CHAINS)
def test_results_and_gradients_are_those_of_the_layers(
    make: Callable[[], keras.Sequential], names: list[str]
) -> None:
    assert names
    model = make()
    assert_exact_in_float32(9 * 4 * 9)
    x = integers(20, 3, *model.input_shape[1:]).astype(np.float32)  # type: ignore[misc]
    parameters = FlatParameters(model.trainable_weights, [])
    y, saved = x, []
    for layer in model.layers:
        y, kept = layer.forward(y, training=True)
        saved.append(kept)
    grad = integers(21, *y.shape).astype(np.float32)
    part: Any = grad.copy()
    for index in reversed(range(len(saved))):
        part = model.layers[index].backward(part, saved[index], need_input_gradient=True)
    expected = parameters.gradients.copy()
    parameters.gradients[:] = 0
    plan = Plan(model.graph)
    result, tape = plan.record(x)
    plan.backward(grad.copy(), tape)
    assert_equal(result, y)
    assert_equal(plan.forward(x), y)
    assert_equal(parameters.gradients, expected)
    assert_mostly_nonzero(y)


@pytest.mark.parametrize(
    "end",
    [
        [lambda: layers.Dense(4, "softmax")],
        [lambda: layers.Dense(4), layers.Softmax],
        [lambda: layers.Dense(4), lambda: layers.Activation("softmax")],
        [lambda: layers.Dense(4), lambda: layers.Softmax(1)],
    ],
)
def test_softmax_at_the_end_is_split_off(end: list[Callable[[], Layer]]) -> None:
    model = chain((5,), *[make() for make in end])
    plan = model._get_plan()
    assert plan.ends_in_softmax
    assert steps_of(model) == ["Dense"]
    x = integers(1, 3, 5).astype(np.float32)
    kernel, bias = model.get_weights()
    assert_equal(plan.forward(x), x @ kernel + bias)
    assert_equal(model(x), ops.softmax(x @ kernel + bias))
    assert model.layers[0].get_weights()[0] is not kernel


def test_softmax_elsewhere_is_not() -> None:
    assert not chain((5,), layers.Softmax(), layers.Dense(4))._get_plan().ends_in_softmax
    assert not chain((5, 2), layers.Softmax(1))._get_plan().ends_in_softmax
    assert chain((5,), layers.Softmax())._get_plan().steps == []


def test_what_another_layer_reads_is_not_fused_away() -> None:
    x = keras.Input((6, 6, 1))
    conv, pool, relu = layers.Conv2D(2, 3), layers.MaxPooling2D(), layers.ReLU()
    inner = conv(x)
    pooled = pool(inner)
    flat = layers.Flatten()(pooled)
    assert [type(s.runner).__name__ for s in Plan(Graph(x, flat)).steps] == [FUSED, "Flatten"]
    assert [type(s.runner).__name__ for s in Plan(Graph(x, inner)).steps] == ["Conv2D"]
    assert [type(s.runner).__name__ for s in Plan(Graph(x, relu(inner))).steps] == ["Conv2D"]
    assert conv.activation is keras.activations.linear


def test_gradient_of_the_input_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain(
        (9, 9, 2),
        layers.Flatten(),
        layers.Dense(4, trainable=False),
        layers.Dense(4),
        layers.Dense(3),
    )
    wanted = []
    original = layers.Dense.backward

    def spy(self: Any, grad: Any, saved: Any, *, need_input_gradient: bool) -> Any:
        wanted.append((self.name, need_input_gradient))
        return original(self, grad, saved, need_input_gradient=need_input_gradient)

    monkeypatch.setattr(layers.Dense, "backward", spy)
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((2, 9, 9, 2)), np.ones((2, 3)))
    first, second, last = [layer.name for layer in model.layers if "dense" in layer.name]
    assert wanted == [(last, True), (second, False)]
    assert first not in dict(wanted)


def test_fused_step_asks_only_for_what_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = _core.conv2d_max_pool2d_gradients

    def spy(*args: Any) -> None:
        names = ("x", "kernel", "bias")
        asked.append(
            tuple(name for name, out in zip(names, args[5:8], strict=True) if out is not None)
        )
        original(*args)

    monkeypatch.setattr(_core, "conv2d_max_pool2d_gradients", spy)
    model = chain(
        (14, 14, 1),
        layers.Conv2D(2, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(2, 3, activation="relu", use_bias=False),
        layers.MaxPooling2D(),
        layers.Flatten(),
    )
    assert steps_of(model) == [FUSED, FUSED, "Flatten"]
    model.compile("sgd", "mse")
    x, y = np.ones((2, 14, 14, 1)), np.ones((2, 8))
    model.train_on_batch(x, y)
    assert asked == [("x", "kernel"), ("kernel", "bias")]
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.train_on_batch(x, y)
    assert asked[2:] == [("kernel",)]


def test_runner_has_no_state_of_a_batch() -> None:
    """Predictions from several threads must not meet in a buffer."""
    conv, pool = layers.Conv2D(2, 3), layers.MaxPooling2D()
    conv(np.zeros((1, 5, 5, 1)))
    runner = Conv2DMaxPooling2D(conv, pool)
    first, _ = runner.forward(np.ones((1, 5, 5, 1), np.float32), training=False)
    before = dict(vars(runner))  # what it knows of the image size is the same for every batch
    second, _ = runner.forward(np.ones((2, 5, 5, 1), np.float32), training=False)
    assert vars(runner) == before
    assert not np.shares_memory(first, second)
