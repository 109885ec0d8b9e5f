"""Gradients of whole models against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, losses
from fastconv.layers import Layer
from fastconv.losses import Loss
from support.gradients import check, in_float64


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
