"""Gradients of layers and of whole models against central differences, in float64.

Layers compute in the dtype of their input, and the operations take float64, so the weights are
replaced by float64 ones. A central difference of step h along a direction v of values up to 1 has
an error of h^2/6 times a third derivative, and of a few epsilon * |loss| / h by rounding. With
h = 1e-5 and losses of about 1 both are about 1e-10; TOLERANCE leaves room for third derivatives of
some hundreds and for sums of some thousands of terms. A kink of ReLU or of a pool closer than h to
the point would show as a failure: the seeds are fixed, and none is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, losses
from fastconv.layers import Layer
from fastconv.layers.symbolic import SymbolicTensor
from fastconv.losses import Loss
from fastconv.models.plan import Plan
from support.arrays import assert_equal

H = 1e-5
TOLERANCE = 1e-6
Array = np.ndarray[Any, np.dtype[Any]]


def in_float64(variables: Sequence[keras.layers.Variable], seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    for variable in variables:
        variable.value = generator.normal(0, 0.5, variable.shape)  # type: ignore[assignment]
        variable.gradient = np.full(variable.shape, np.nan)  # type: ignore[assignment]


def slope(function: Callable[[], float], array: Array, direction: Array) -> float:
    """The derivative of `function` as `array` moves along `direction`."""
    array += H * direction
    above = function()
    array -= 2 * H * direction
    below = function()
    array += H * direction
    return (above - below) / (2 * H)


def check(function: Callable[[], float], array: Array, gradient: Array, seed: int) -> None:
    assert gradient.shape == array.shape
    direction = np.random.default_rng(seed).uniform(-1, 1, array.shape)
    expected = slope(function, array, direction)
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    assert np.count_nonzero(gradient) > 0


def rewind(layer: Layer) -> None:
    """Have a dropout, whose mask depends on what it drew before, draw its first mask again."""
    if isinstance(layer, layers.Dropout):
        layer.random_state = layer.random_state[0], 0


LAYERS = {
    "conv2d": (lambda: layers.Conv2D(4, 3), (2, 6, 5, 3)),
    "conv2d relu": (lambda: layers.Conv2D(4, 3, activation="relu"), (2, 6, 5, 3)),
    "conv2d tanh": (lambda: layers.Conv2D(4, 3, activation="tanh"), (2, 6, 5, 3)),
    "conv2d softmax": (lambda: layers.Conv2D(4, 3, activation="softmax"), (2, 6, 5, 3)),
    "conv2d same": (lambda: layers.Conv2D(4, 3, 2, "same", use_bias=False), (2, 6, 5, 3)),
    "conv2d dilated": (lambda: layers.Conv2D(4, 2, dilation_rate=2), (2, 6, 5, 3)),
    "conv2d groups": (lambda: layers.Conv2D(4, 2, groups=2), (2, 6, 5, 4)),
    "conv2d first": (lambda: layers.Conv2D(4, 2, data_format="channels_first"), (2, 3, 6, 5)),
    "max_pooling2d": (layers.MaxPooling2D, (2, 5, 6, 3)),
    "max_pooling2d same": (lambda: layers.MaxPooling2D(3, 2, "same"), (2, 5, 6, 3)),
    "max_pooling2d first": (
        lambda: layers.MaxPooling2D(data_format="channels_first"),
        (2, 3, 5, 6),
    ),
    "dense": (lambda: layers.Dense(4), (3, 5)),
    "dense relu": (lambda: layers.Dense(4, "relu"), (3, 5)),
    "dense sigmoid": (lambda: layers.Dense(4, "sigmoid"), (3, 5)),
    "dense 3-D": (lambda: layers.Dense(4, "softmax", use_bias=False), (3, 2, 5)),
    "flatten": (layers.Flatten, (2, 3, 4)),
    "flatten first": (lambda: layers.Flatten(data_format="channels_first"), (2, 3, 4, 5)),
    "dropout": (lambda: layers.Dropout(0.4, seed=1), (3, 5)),
    "linear": (lambda: layers.Activation("linear"), (3, 5)),
    "tanh": (lambda: layers.Activation("tanh"), (3, 5)),
    "re_lu": (layers.ReLU, (3, 5)),
    "re_lu general": (lambda: layers.ReLU(0.8, 0.3, 0.2), (3, 50)),
    "softmax": (layers.Softmax, (3, 5)),
    "softmax axis": (lambda: layers.Softmax(1), (3, 5, 2)),
}


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_layer(make: Callable[[], Layer], shape: tuple[int, ...]) -> None:
    layer = make()
    layer(np.zeros(shape, np.float32))
    in_float64(layer.weights)
    generator = np.random.default_rng(3)
    x = generator.normal(size=shape)
    grad = generator.normal(size=layer.compute_output_shape(shape))  # type: ignore[arg-type]

    def value() -> float:
        rewind(layer)
        return float(np.sum(grad * layer.forward(x, training=True)[0]))

    rewind(layer)
    _, saved = layer.forward(x, training=True)
    dx = layer.backward(grad.copy(), saved, need_input_gradient=True)
    assert dx is not None
    check(value, x, dx, seed=4)
    for index, variable in enumerate(layer.weights):
        assert variable.gradient is not None
        check(value, variable.value, variable.gradient, seed=5 + index)


def small_cnn(*end: Layer) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((9, 8, 2)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 2),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(5),
            layers.Activation("relu"),
            *end,
        ]
    )


MODELS: dict[str, tuple[Callable[[], keras.Sequential], Loss, bool]] = {
    "softmax, labels": (
        lambda: small_cnn(layers.Dense(4, "softmax")),
        losses.SparseCategoricalCrossentropy(),
        True,
    ),
    "softmax layer, one-hot": (
        lambda: small_cnn(layers.Dense(4), layers.Softmax()),
        losses.CategoricalCrossentropy(),
        False,
    ),
    "logits, labels": (
        lambda: small_cnn(layers.Dense(4)),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        True,
    ),
    "sigmoid, probabilities": (
        lambda: small_cnn(layers.Dense(4, "sigmoid")),
        losses.CategoricalCrossentropy(),
        False,
    ),
    "softmax, squares": (
        lambda: small_cnn(layers.Dense(4, "softmax")),
        losses.MeanSquaredError(),
        False,
    ),
    "softmax taken for logits": (
        lambda: small_cnn(layers.Dense(4, "softmax")),
        losses.CategoricalCrossentropy(from_logits=True),
        False,
    ),
}


@pytest.mark.parametrize(("make", "loss", "sparse"), MODELS.values(), ids=MODELS)
def test_model(make: Callable[[], keras.Sequential], loss: Loss, sparse: bool) -> None:
    model = make()
    model.compile("sgd", loss)
    in_float64(model.weights)
    generator = np.random.default_rng(6)
    x = generator.normal(size=(3, 9, 8, 2))
    labels = np.array([2, 0, 3])
    targets = labels if sparse else np.eye(4)[labels]
    plan, objective = model._get_plan(), model._objective
    assert objective is not None
    objective.bind(plan, targets.shape, (3, 4))

    def value() -> float:
        y = x
        for layer in model.layers:
            y = layer.forward(y, training=True)[0]
        return float(np.mean(loss.values_and_gradient(targets, y)[0]))

    result, tape = plan.record(x)
    plan.backward(objective.assess(result, targets), tape)
    for index, variable in enumerate(model.weights):
        assert variable.gradient is not None
        check(value, variable.value, variable.gradient, seed=7 + index)
    assert objective.results()["loss"] == pytest.approx(value(), rel=1e-12)


class Add(Layer):
    """The sum of two inputs."""

    def forward(self, x: Any, *, training: bool) -> tuple[Any, Any]:  # noqa: ARG002
        return x[0] + x[1], None

    def backward(self, grad: Any, saved: Any, *, need_input_gradient: bool) -> Any:  # noqa: ARG002
        return grad, grad.copy()


def test_branches_that_meet_again() -> None:
    """A plan runs graphs; the gradient of a tensor that two layers read is the sum of theirs."""
    x = keras.Input((4,))
    stem = layers.Dense(5, "tanh")
    left, right = layers.Dense(3, "tanh"), layers.Dense(3)
    head = layers.Dense(2)
    shared = stem(x)
    a, b = left(shared), right(shared)
    add = Add()
    output = head(SymbolicTensor((None, 3), add, (a, b)))
    plan = Plan(x, output)
    variables = [v for layer in (stem, left, right, head) for v in layer.weights]
    in_float64(variables)
    generator = np.random.default_rng(8)
    values = generator.normal(size=(6, 4))
    grad = generator.normal(size=(6, 2))

    def value() -> float:
        return float(np.sum(grad * plan.forward(values)))

    result, tape = plan.record(values)
    assert_equal(result, plan.forward(values))
    plan.backward(grad.copy(), tape)
    for index, variable in enumerate(variables):
        assert variable.gradient is not None
        check(value, variable.value, variable.gradient, seed=9 + index)
