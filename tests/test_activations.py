"""Activations by name and as functions, their values and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastconv import activations

X = np.random.default_rng(1).normal(0, 2, (5, 4))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("linear", lambda x: x),
        ("relu", lambda x: np.maximum(x, 0)),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", np.tanh),
        ("softmax", lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients(name: str, function: Any, dtype: Any) -> None:
    activation = activations.get(name)
    x = X.astype(dtype)
    before = x.copy()
    y = activation(x)
    # A handful of roundings each.
    np.testing.assert_allclose(y, function(x), atol=8 * np.finfo(dtype).eps)
    assert y.dtype == dtype
    assert np.array_equal(x, before)
    assert not np.shares_memory(x, y)
    in_place = x.copy()
    assert activation(in_place, out=in_place) is in_place
    assert np.array_equal(in_place, y)
    if dtype is np.float64:
        grad = np.random.default_rng(2).normal(size=x.shape)
        direction = np.random.default_rng(3).normal(size=x.shape)
        step = 1e-6
        above, below = function(x + step * direction), function(x - step * direction)
        difference = np.sum(grad * (above - below))
        actual = np.sum(activation.gradient(grad.copy(), y) * direction)
        # Third derivatives of order 1 give 1e-12, rounding 1e-16 / 1e-6 of sums of 20.
        assert actual == pytest.approx(difference / (2 * step), abs=1e-8)


def test_far_out() -> None:
    x = np.float32([-1000, -100, -20, 100, 1000])
    sigmoid = activations.sigmoid(x)
    assert sigmoid.tolist()[0] == 0
    assert sigmoid[2] == pytest.approx(math.exp(-20), rel=1e-6)
    assert sigmoid.tolist()[3:] == [1, 1]
    assert activations.tanh(x).tolist() == [-1, -1, -1, 1, 1]
    assert activations.softmax(x).tolist() == [0, 0, 0, 0, 1]
    assert math.isnan(activations.relu(np.float32([np.nan]))[0])


def test_get_by_name_and_by_function() -> None:
    def relu(x: Any) -> Any:
        """Stands for `tf.nn.relu`, `jax.nn.relu` or `torch.relu`."""
        raise AssertionError(x)

    assert activations.get(relu) is activations.relu
    assert activations.get(np.tanh) is activations.tanh
    assert activations.get(activations.softmax) is activations.softmax
    assert activations.get(None) is activations.linear
    for name in ("linear", "relu", "sigmoid", "tanh", "softmax"):
        assert activations.get(name).__name__ == name
    for wrong in ("ReLU6", lambda x: x, 3):
        with pytest.raises(
            ValueError, match=r"activations\.get: identifier is not known, expected"
        ):
            activations.get(wrong)  # type: ignore[arg-type]
