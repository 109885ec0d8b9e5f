"""Activations by name and as functions, their values and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import activations

X = np.random.default_rng(1).normal(0, 2, (5, 40))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softplus(x: Any) -> Any:
    return np.log(1 + np.exp(x))


def softmax(x: Any) -> Any:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def erf(x: Any) -> Any:
    return np.array([math.erf(value) for value in x.ravel()]).reshape(x.shape)


# As the papers have them: nothing here need care for overflow.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.minimum(np.maximum(x, 0), 6),
    "leaky_relu": lambda x: np.where(x < 0, 0.2 * x, x),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "selu": lambda x: 1.05070098 * np.where(x > 0, x, 1.67326324 * (np.exp(x) - 1)),
    "exponential": np.exp,
    "sigmoid": sigmoid,
    "hard_sigmoid": lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "log_sigmoid": lambda x: np.log(sigmoid(x)),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
    "hard_tanh": lambda x: np.minimum(np.maximum(x, -1), 1),
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "hard_silu": lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "hard_swish": lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "softmax": softmax,
    "log_softmax": lambda x: np.log(softmax(x)),
}


@pytest.mark.parametrize(("name", "function"), FUNCTIONS.items(), ids=FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients(name: str, function: Any, dtype: Any) -> None:
    activation = activations.get(name)
    x = X.astype(dtype)
    before = x.copy()
    y = activation(x)
    # A handful of roundings each of values up to 8 (exponential: 2000, hence rtol), and for selu,
    # whose constants stand here with nine digits, 1e-8.
    tolerance = 16 * np.finfo(dtype).eps
    rough = 1e-8 if name == "selu" else 0
    expected = function(x.astype(np.float64))
    np.testing.assert_allclose(y, expected, atol=tolerance + rough, rtol=tolerance + rough)
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
        # Third derivatives of order 1 give 1e-12, rounding 1e-16 / 1e-6 of sums of 200 terms; the
        # exponential has values of some hundreds.
        expected = pytest.approx(difference / (2 * step), rel=1e-8, abs=1e-7)
        after_op, kept_after_op = activation.complete(function_in_op(activation, x))
        recorded, kept = activation.record(x)
        assert not np.shares_memory(x, recorded)
        for result, what in ((recorded, kept), (after_op, kept_after_op)):
            assert np.array_equal(result, y)
            assert np.sum(activation.gradient(grad.copy(), what) * direction) == expected
        assert np.array_equal(x, before)


def function_in_op(activation: activations.ActivationFunction, x: Any) -> Any:
    """What an operation leaves that was given `activation=activation.in_op`."""
    return np.maximum(x, 0) if activation.in_op == "relu" else x.copy()


def test_far_out() -> None:
    x = np.float32([-1000, -100, -20, 100, 1000])
    sigmoid = activations.sigmoid(x)
    assert sigmoid.tolist()[0] == 0
    assert sigmoid[2] == pytest.approx(math.exp(-20), rel=1e-6)
    assert sigmoid.tolist()[3:] == [1, 1]
    assert activations.tanh(x).tolist() == [-1, -1, -1, 1, 1]
    assert activations.softmax(x).tolist() == [0, 0, 0, 0, 1]
    assert activations.softplus(x)[[0, 3, 4]].tolist() == [0, 100, 1000]
    assert activations.softplus(x)[2] == pytest.approx(math.exp(-20), rel=1e-6)
    assert activations.log_sigmoid(x)[:3].tolist() == [-1000, -100, -20]
    assert activations.elu(x).tolist() == [-1, -1, -1, 100, 1000]
    assert activations.silu(x)[[0, 3, 4]].tolist() == [0, 100, 1000]
    assert activations.gelu(x).tolist() == [0, 0, 0, 100, 1000]
    assert activations.mish(x)[[0, 3, 4]].tolist() == [0, 100, 1000]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays_nan(name: str) -> None:
    assert math.isnan(activations.get(name)(np.float32([[np.nan, 0]]))[0, 0])


def test_get_by_name_and_by_function() -> None:
    def relu(x: Any) -> Any:
        """Stands for `tf.nn.relu`, `jax.nn.relu` or `torch.relu`."""
        raise AssertionError(x)

    assert activations.get(relu) is activations.relu
    assert activations.get(np.tanh) is activations.tanh
    assert activations.get(activations.softmax) is activations.softmax
    assert activations.get(None) is activations.linear
    for name in FUNCTIONS:
        assert activations.get(name) is getattr(activations, name)
        assert activations.get(activations.get(name).__name__) is activations.get(name)
    for wrong in ("ReLU6", lambda x: x, 3):
        with pytest.raises(
            ValueError, match=r"activations\.get: identifier is not known, expected"
        ):
            activations.get(wrong)  # type: ignore[arg-type]
