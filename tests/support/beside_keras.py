"""Keras 3 and the models that are compared with it; tests that import this are skipped without it.

The backend is KERAS_BACKEND: jax if that is not set.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from fastconv import datasets
from seed_models import m1, m3, m4, m5

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras: pip install keras jax")

Array = npt.NDArray[Any]

IGNORED_WARNINGS = [
    # Of Keras and of its backends, which are not tested here.
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::jax"),
    pytest.mark.filterwarnings("ignore:::tensorflow"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

OUTPUT_TOLERANCE = 1e-5
"""What the project promises for outputs: probabilities, or logits of the order of 1.

Both sides sum at most 1600 products in float32, of values of about 1/40: errors of about 1e-6.
"""


def separable(k: Any) -> Any:
    """Normalisation, depthwise, a way around, `same` with stride 2 of even and odd sizes."""
    inputs = k.Input((28, 28, 1))
    x = k.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = k.layers.BatchNormalization()(x)
    x = k.layers.ReLU(max_value=6)(x)
    around = x
    x = k.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = k.layers.BatchNormalization(momentum=0.9, epsilon=0.01)(x)
    x = k.layers.Add()([around, x])
    x = k.layers.SeparableConv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = k.layers.BatchNormalization()(x)
    x = k.layers.Activation("relu")(x)
    x = k.layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(x)
    x = k.layers.Flatten()(x)
    return k.Model(inputs, k.layers.Dense(10)(x), name="separable")


def branches(k: Any) -> Any:
    """Branches of different lengths, layers of one class in them, and a layer called twice.

    Which of the layers comes first in the file depends on the whole graph.
    """
    inputs = k.Input((9, 8, 2))
    shared = k.layers.Conv2D(3, 3, padding="same", activation="tanh", name="shared")
    long = k.layers.Conv2D(3, 1, name="long_1")(inputs)
    short = k.layers.Conv2D(3, 1, name="short")(inputs)
    long = k.layers.Conv2D(2, 3, padding="same", name="long_2")(long)
    long = shared(long)
    direct = shared(inputs)
    joined = k.layers.Concatenate()([direct, short, long])
    x = k.layers.Flatten()(k.layers.Conv2D(2, 3, name="last")(joined))
    return k.Model(inputs, k.layers.Dense(4)(x), name="branches")


class Side(NamedTuple):
    """A model to be built with either package."""

    build: Any
    logits: bool = False

    def loss(self, k: Any) -> Any:
        return k.losses.SparseCategoricalCrossentropy(from_logits=self.logits)


MODELS = {
    "M1": Side(m1),
    "M3": Side(m3),
    "M4": Side(m4, logits=True),
    "M5": Side(m5),
    "separable": Side(separable, logits=True),
}
TRAINED = MODELS | {"M1": Side(partial(m1, dropout=0.0))}
"""Without dropout, whose masks are random."""


def digits(model: Any, start: int, count: int) -> tuple[Array, Array]:
    """Images in 0 .. 1 of the shape that a model takes, and labels, of the bundled sample."""
    (x, y), _ = datasets.mnist.load_sample()
    rows = np.arange(start, start + count) % len(x)
    images = (x[rows] / 255).astype(np.float32)[..., None]
    if tuple(model.input_shape[1:]) == (32, 32, 3):
        images = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
        # Channels that differ.
        images = np.concatenate([images, np.roll(images, 2, 1), np.roll(images, -2, 2)], axis=-1)
    assert images.shape[1:] == tuple(model.input_shape[1:])
    return images, y[rows].astype(np.int64)


def shake(model: Any) -> None:
    """Give every weight a value of its own: biases start at 0, where mistakes do not show."""
    rng = np.random.default_rng(7)
    values = [weight + rng.normal(0, 0.02, weight.shape) for weight in model.get_weights()]
    model.set_weights([value.astype(np.float32) for value in values])


def assert_same_weights(one: Any, other: Any) -> None:
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def inputs(model: Any, count: int = 8) -> Array:
    rng = np.random.default_rng(5)
    return rng.uniform(0, 1, (count, *model.input_shape[1:])).astype(np.float32)


def assert_same_outputs(ours: Any, theirs: Any) -> None:
    x = inputs(ours)
    expected = theirs.predict(x, verbose=0)
    assert np.ptp(expected) > 10 * OUTPUT_TOLERANCE, "the model tells nothing apart"
    np.testing.assert_allclose(ours.predict(x, verbose=0), expected, rtol=0, atol=OUTPUT_TOLERANCE)
