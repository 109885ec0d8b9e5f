"""Batch normalisation: values, moving statistics, frozen layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from fastconv.layers.channel_sums import channel_dots, channel_sums
from support.arrays import assert_equal, integers, reals
from support.bounds import gamma

EPS = float(np.finfo(np.float32).eps)


def normalised(x: Any, mean: Any, variance: Any) -> Any:
    return (x - mean) / np.sqrt(variance + 1e-3)


@pytest.mark.parametrize(("axis", "others"), [(-1, (0, 1, 2)), (1, (0, 2, 3)), (3, (0, 1, 2))])
def test_training_normalises_the_batch(axis: int, others: tuple[int, ...]) -> None:
    x = reals(1, 6, 5, 4, 5) * 3 + 1
    layer = layers.BatchNormalization(axis)
    y = layer(x, training=True)
    expected = normalised(x, x.mean(others, keepdims=True), x.var(others, keepdims=True))
    # Sums of 120 values below 4 in size, deviations above 1: mean and deviation are off by
    # gamma(120) * 4, and so is the result, whose own few roundings are smaller.
    np.testing.assert_allclose(y, expected, rtol=0, atol=4 * 4 * gamma(124, np.float32))


def test_small_case_by_hand() -> None:
    layer = layers.BatchNormalization(momentum=0.75, epsilon=0.5)
    layer(np.zeros((1, 2)))
    layer.set_weights([[2, 1], [10, 0], [4, 0], [8, 1]])
    x = np.float32([[1, 3], [3, 3]])
    # Means 2 and 3, variances 1 and 0; deviations sqrt(1.5) and sqrt(0.5).
    y = layer(x, training=True)
    step = 2 / np.sqrt(1.5)
    np.testing.assert_allclose(y, [[10 - step, 0], [10 + step, 0]], rtol=4 * EPS)
    assert layer.moving_mean.numpy().tolist() == [3.5, 0.75]
    assert layer.moving_variance.numpy().tolist() == [6.25, 0.75]
    # Moving statistics: (1 - 3.5) / sqrt(6.75), (3 - 0.75) / sqrt(1.25).
    expected = [[10 - 5 / np.sqrt(6.75), 2.25 / np.sqrt(1.25)]]
    np.testing.assert_allclose(layer(x[:1]), expected, rtol=8 * EPS)


def test_weights_in_keras_order() -> None:
    layer = layers.BatchNormalization(name="bn")
    layer(np.zeros((1, 3)))
    paths = ["bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"]
    assert [weight.path for weight in layer.weights] == paths
    assert [weight.numpy()[0] for weight in layer.weights] == [1, 0, 0, 1]
    assert [weight.path for weight in layer.trainable_weights] == paths[:2]


def test_prediction_changes_nothing_and_frozen_layers_predict() -> None:
    layer = layers.BatchNormalization()
    x = reals(2, 8, 3) * 5
    layer(x, training=True)
    before = layer.get_weights()
    y = layer(x)
    assert_equal(layer(x), y)
    layer.trainable = False
    assert_equal(layer(x, training=True), y)
    for weight, expected in zip(layer.get_weights(), before, strict=True):
        assert_equal(weight, expected)


def test_moving_statistics_of_a_model_in_training() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(momentum=0.5)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = integers(1, 16, 4)
    model.fit(x, x, batch_size=8, epochs=1, shuffle=False, verbose=0)
    mean, variance = np.zeros(4), np.ones(4)
    for batch in (x[:8], x[8:]):
        mean = mean / 2 + batch.mean(axis=0) / 2
        variance = variance / 2 + batch.var(axis=0) / 2
    # Eight-term sums and a few roundings more.
    np.testing.assert_allclose(model.get_weights()[2], mean, rtol=0, atol=16 * EPS)
    np.testing.assert_allclose(model.get_weights()[3], variance, rtol=16 * EPS)
    model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.0), "mse")
    frozen = model.get_weights()
    model.fit(x, x, batch_size=8, epochs=1, verbose=0)
    assert all(map(np.array_equal, model.get_weights(), frozen))


def test_empty_batches_leave_the_statistics_alone() -> None:
    layer = layers.BatchNormalization()
    assert layer(np.zeros((0, 3)), training=True).shape == (0, 3)
    assert layer.moving_mean.numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(6, 3), (4, 5, 7, 3), (1, 1), (8, 4, 4, 600), (0, 3)])
@pytest.mark.parametrize("axis", [-1, 1])
def test_channel_sums(shape: tuple[int, ...], axis: int) -> None:
    x, y = integers(1, *shape), integers(2, *shape)
    others = tuple(index for index in range(len(shape)) if index != axis % len(shape))
    assert_equal(channel_sums(x, axis), x.sum(axis=others))
    assert_equal(channel_dots(x, y, axis), (x * y).sum(axis=others))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.5}, "BatchNormalization: momentum is out of range"),
        ({"epsilon": 0}, "BatchNormalization: epsilon must be positive"),
        ({"renorm": True}, "BatchNormalization: renorm is not supported, expected False"),
        ({"synchronized": True}, "BatchNormalization: synchronized is not supported"),
    ],
)
def test_arguments_that_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layers.BatchNormalization(**options)


def test_shapes_that_are_refused() -> None:
    with pytest.raises(ValueError, match="axis names no axis of a sample"):
        layers.BatchNormalization(2)(keras.Input((3,)))
    with pytest.raises(ValueError, match="needs a known size of axis -1"):
        layers.BatchNormalization()(keras.Input((3, None)))
    layer = layers.BatchNormalization()
    layer(keras.Input((3,)))
    with pytest.raises(ValueError, match="has the wrong axis -1, expected 3"):
        layer(np.zeros((1, 4)))
