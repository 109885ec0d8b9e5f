"""Batch normalisation in the weights of the layer before it, in predictions only.

With epsilon 1 and variances 3 and 15 the scales are 1/2 and 1/4 of gamma: everything is a dyadic
number of few bits, and equality has no tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from fastconv.layers import Layer
from fastconv.models.parameters import FlatParameters
from support.arrays import assert_equal, assert_mostly_nonzero, assert_same_bits, integers

IMAGE = (7, 6, 4)
FIRST = (4, 7, 6)


def norm(axis: int = -1, **options: Any) -> Layer:
    return layers.BatchNormalization(axis, epsilon=1.0, **options)


CHAINS: dict[str, tuple[tuple[int, ...], Callable[[], list[Layer]], list[str]]] = {
    "conv": (IMAGE, lambda: [layers.Conv2D(3, 3), norm()], ["Normalized"]),
    "conv without bias": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3, 2, "same", use_bias=False), norm(3)],
        ["Normalized"],
    ),
    "groups, no scale": (
        IMAGE,
        lambda: [layers.Conv2D(6, 3, groups=2), norm(scale=False)],
        ["Normalized"],
    ),
    "relu, pool": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3), norm(), layers.ReLU(), layers.MaxPooling2D()],
        ["Normalized"],
    ),
    "pool": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3), norm(center=False), layers.MaxPooling2D(2, 1)],
        ["Normalized"],
    ),
    "channels first": (
        FIRST,
        lambda: [
            layers.Conv2D(3, 3, data_format="channels_first"),
            norm(1),
            layers.Activation("relu"),
            layers.MaxPooling2D(data_format="channels_first"),
        ],
        ["Normalized"],
    ),
    "depthwise": (
        IMAGE,
        lambda: [layers.DepthwiseConv2D(3, depth_multiplier=2), norm(), layers.ReLU()],
        ["Normalized"],
    ),
    "separable": (IMAGE, lambda: [layers.SeparableConv2D(3, 3), norm()], ["Normalized"]),
    "transposed": (
        IMAGE,
        lambda: [layers.Conv2DTranspose(3, 3, 2), norm(), layers.ReLU()],
        ["Normalized"],
    ),
    "dense": ((5,), lambda: [layers.Dense(3), norm(), layers.ReLU()], ["Normalized"]),
    "twice": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3), norm(), layers.ReLU(), layers.Conv2D(2, 1), norm()],
        ["Normalized", "Normalized"],
    ),
    "another axis": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3), norm(1)],
        ["Conv2D", "BatchNormalization"],
    ),
    "relu before": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3, activation="relu"), norm()],
        ["Conv2D", "BatchNormalization"],
    ),
    "normalised twice": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3), norm(), norm()],
        ["Normalized", "BatchNormalization"],
    ),
    "another activation": (
        IMAGE,
        lambda: [layers.Conv2D(3, 3), norm(), layers.LeakyReLU(0.5)],
        ["Normalized", "LeakyReLU"],
    ),
    "at the start": (
        IMAGE,
        lambda: [norm(), layers.Conv2D(3, 3)],
        ["BatchNormalization", "Conv2D"],
    ),
}


def chain(shape: tuple[int, ...], parts: list[Layer]) -> keras.Sequential:
    """A model with integers of few bits as weights."""
    model = keras.Sequential([keras.Input(shape), *parts])
    for index, variable in enumerate(model.weights):
        value = integers(index, *variable.shape)
        if variable.name == "moving_variance":
            value = np.where(value > 0, 3, 15)
        elif variable.name == "gamma":
            value = np.where(value == 0, 1, value)
        variable.assign(value)
    return model


@pytest.mark.parametrize(("shape", "make", "names"), CHAINS.values(), ids=CHAINS)
def test_predictions_are_those_of_the_layers(
    shape: tuple[int, ...], make: Callable[[], list[Layer]], names: list[str]
) -> None:
    model = chain(shape, make())
    assert [type(step.runner).__name__ for step in model._get_plan().steps] == names
    before = [variable.value for variable in model.weights]
    bits = [value.tobytes() for value in before]
    x = integers(20, 3, *shape).astype(np.float32)
    expected = x
    for layer in model.layers:
        expected = layer.forward(expected, training=False)[0]
    assert_equal(model.predict(x, verbose=0), expected)
    assert_mostly_nonzero(expected)
    for variable, value, content in zip(model.weights, before, bits, strict=True):
        assert variable.value is value
        assert value.tobytes() == content


@pytest.mark.parametrize(("shape", "make", "names"), CHAINS.values(), ids=CHAINS)
def test_training_is_that_of_the_layers(
    shape: tuple[int, ...], make: Callable[[], list[Layer]], names: list[str]
) -> None:
    assert names
    keras.utils.clear_session()
    model, alone = chain(shape, make()), chain(shape, make())
    x = integers(20, 3, *shape).astype(np.float32)
    parameters = [
        FlatParameters(each.trainable_weights, each.non_trainable_weights)
        for each in (model, alone)
    ]
    plan = model._get_plan()
    result, tape = plan.record(x)
    y, saved = x, []
    for layer in alone.layers:
        y, kept = layer.forward(y, training=True)
        saved.append(kept)
    assert_same_bits(result, y)
    grad = integers(21, *y.shape).astype(np.float32)
    plan.backward(grad.copy(), tape)
    for layer in reversed(alone.layers):
        grad = layer.backward(grad, saved.pop(), need_input_gradient=True)
    assert_same_bits(parameters[0].gradients, parameters[1].gradients)
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        assert_same_bits(one, other)


def test_predictions_follow_the_weights() -> None:
    model = chain(IMAGE, [layers.Conv2D(3, 3), norm()])
    x = integers(20, 3, *IMAGE).astype(np.float32)
    first = model.predict(x, verbose=0)
    conv, normalization = model.layers
    normalization.beta.assign(normalization.beta.numpy() + 1)
    assert_equal(model.predict(x, verbose=0), first + 1)
    conv.bias.assign(conv.bias.numpy() + 4)
    gain = normalization.gamma.numpy() / np.sqrt(normalization.moving_variance.numpy() + 1)
    assert_equal(model.predict(x, verbose=0), first + 1 + 4 * gain)


def test_frozen_normalisation_in_training() -> None:
    model = chain(IMAGE, [layers.Conv2D(3, 3), norm(), layers.Flatten()])
    model.layers[1].trainable = False
    before = model.layers[1].get_weights()
    model.compile(keras.optimizers.SGD(0.125), "mse")
    x = integers(20, 4, *IMAGE)
    expected = model(x)
    assert_equal(model(x, training=True), expected)
    model.train_on_batch(x, np.zeros(expected.shape))
    for one, other in zip(model.layers[1].get_weights(), before, strict=True):
        assert_same_bits(one, other)
    assert not np.array_equal(model(x), expected)
