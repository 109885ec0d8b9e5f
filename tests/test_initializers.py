"""Initialisers: ranges, moments and seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import initializers, layers
from fastconv.initializers import Initializer

SHAPE = (3, 3, 20, 40)
FAN_IN, FAN_OUT, SIZE = 180, 360, 7200


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("glorot_uniform", math.sqrt(6 / (FAN_IN + FAN_OUT))),
        ("he_uniform", math.sqrt(6 / FAN_IN)),
        ("lecun_uniform", math.sqrt(3 / FAN_IN)),
        ("random_uniform", 0.05),
    ],
)
def test_uniform(name: str, limit: float) -> None:
    values = initializers.get(name)(SHAPE)
    assert values.dtype == np.float32
    assert values.shape == SHAPE
    assert np.abs(values).max() <= limit * (1 + 1e-6)
    # All of 7,200 draws inside 99 % of the range has a probability of 0.99^7200 < 1e-31.
    assert np.abs(values).max() > 0.99 * limit
    assert_moments(values, limit / math.sqrt(3))


@pytest.mark.parametrize(
    ("name", "stddev"),
    [
        ("glorot_normal", math.sqrt(2 / (FAN_IN + FAN_OUT))),
        ("he_normal", math.sqrt(2 / FAN_IN)),
        ("lecun_normal", math.sqrt(1 / FAN_IN)),
    ],
)
def test_truncated_normal_keeps_the_variance(name: str, stddev: float) -> None:
    values = initializers.get(name)(SHAPE)
    assert_moments(values, stddev)
    # Cutting the unit normal at 2 leaves a standard deviation of 0.8796...
    assert np.abs(values).max() <= 2 * stddev / 0.8796256610342397 * (1 + 1e-6)
    assert np.abs(values).max() > 1.9 * stddev / 0.8796256610342397


def test_normal() -> None:
    assert_moments(initializers.RandomNormal(0, 0.3, seed=1)(SHAPE), 0.3)
    shifted = initializers.RandomNormal(5, 0.3, seed=1)(SHAPE)
    assert_moments(shifted - 5, 0.3)
    cut = initializers.TruncatedNormal(stddev=0.3, seed=1)(SHAPE)
    assert np.abs(cut).max() <= 0.6


def assert_moments(values: Any, stddev: float) -> None:
    """Mean and standard deviation within five standard errors of what they should be."""
    assert abs(values.mean()) < 5 * stddev / math.sqrt(SIZE)
    # The squares of a variable with a kurtosis of at most 3 have a variance of at most 2 stddev^4.
    assert abs(np.mean(values**2) - stddev**2) < 5 * math.sqrt(2 / SIZE) * stddev**2


@pytest.mark.parametrize(("name", "value"), [("zeros", 0), ("ones", 1), ("Zeros", 0), ("Ones", 1)])
def test_constants(name: str, value: float) -> None:
    values = initializers.get(name)((2, 3))
    assert values.tolist() == [[value] * 3] * 2
    assert values.dtype == np.float32
    assert initializers.Constant(0.5)(()).item() == 0.5


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((7,), (7, 7)), ((3, 4), (3, 4)), ((5, 2, 3, 4), (30, 40))],
)
def test_fans(shape: tuple[int, ...], fans: tuple[int, int]) -> None:
    assert initializers.compute_fans(shape) == fans


def test_seeds() -> None:
    one = initializers.GlorotUniform(seed=1)
    assert np.array_equal(one(SHAPE), one(SHAPE))
    assert np.array_equal(one(SHAPE), initializers.GlorotUniform(seed=1)(SHAPE))
    assert not np.array_equal(one(SHAPE), initializers.GlorotUniform(seed=2)(SHAPE))
    assert not np.array_equal(
        initializers.GlorotUniform()(SHAPE), initializers.GlorotUniform()(SHAPE)
    )


def test_set_random_seed_repeats_the_weights() -> None:
    def weights() -> list[Any]:
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
        return model.get_weights()

    keras.utils.set_random_seed(7)
    first = weights()
    second = weights()
    keras.utils.set_random_seed(7)
    third = weights()
    assert np.array_equal(first[0], third[0])
    assert np.array_equal(first[2], third[2])
    assert not np.array_equal(first[0], second[0])


def test_get() -> None:
    assert isinstance(initializers.get("GlorotUniform"), initializers.GlorotUniform)
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    instance: Initializer = initializers.Ones()
    assert initializers.get(instance) is instance
    layer = layers.Dense(2, kernel_initializer=lambda shape: np.full(shape, 3.0))
    layer(np.zeros((1, 2)))
    assert layer.get_weights()[0].tolist() == [[3, 3], [3, 3]]
    for wrong in ("glorot", 3):
        with pytest.raises(ValueError, match=r"initializers\.get: identifier is not known"):
            initializers.get(wrong)  # type: ignore[arg-type]


def test_variance_scaling_arguments() -> None:
    values = initializers.VarianceScaling(4.0, "fan_out", "untruncated_normal", seed=3)(SHAPE)
    assert_moments(values, math.sqrt(4 / FAN_OUT))
    for options in ({"scale": 0}, {"mode": "fan"}, {"distribution": "flat"}):
        with pytest.raises(ValueError, match=f"VarianceScaling: {next(iter(options))} "):
            initializers.VarianceScaling(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(5, 5), (3, 2, 4), (2, 9)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    matrix = initializers.Orthogonal(gain=2, seed=1)(shape).reshape(-1, shape[-1])
    small = matrix.T @ matrix if len(matrix) >= len(matrix.T) else matrix @ matrix.T
    # Products of at most 9 float32 terms of sum 4, each term rounded once.
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=9 * 4 * 2**-23)
    assert not np.array_equal(matrix, initializers.get("orthogonal")(shape).reshape(matrix.shape))


def test_identity() -> None:
    assert initializers.Identity(3)((2, 3)).tolist() == [[3, 0, 0], [0, 3, 0]]
    assert initializers.get("identity")((1, 1)).dtype == np.float32
    with pytest.raises(ValueError, match=r"Identity: shape must have two axes, .*\(1, 2, 3\)"):
        initializers.Identity()((1, 2, 3))
    with pytest.raises(ValueError, match=r"Orthogonal: shape has too few axes, .*\(3,\)"):
        initializers.Orthogonal()((3,))


def test_seeds_that_are_not_given_stay_so() -> None:
    assert initializers.GlorotUniform().seed is None
    assert initializers.GlorotUniform(7).seed == 7
    unseeded = initializers.GlorotUniform()
    assert np.array_equal(unseeded(SHAPE), unseeded(SHAPE))
