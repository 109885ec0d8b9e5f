"""Activation functions with their gradients.

A gradient is written in terms of the *result* `y`, so that a layer need not keep its
pre-activation: relu y > 0, sigmoid y (1 - y), tanh 1 - y^2, softmax y (g - <g, y>).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv import ops
from fastconv._errors import value_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray


class ActivationFunction:
    """A named elementwise function (softmax: over the last axis) and its gradient.

    Call it on an array of float32 or float64 to get a new one of the same shape and dtype.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[[FloatArray, FloatArray | None], FloatArray],
        gradient: Callable[[FloatArray, FloatArray], FloatArray],
    ) -> None:
        self.__name__ = name
        self._forward = forward
        self._gradient = gradient

    def __call__(self, x: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """The function of `x`; `out` may be `x` itself."""
        return self._forward(x, out)

    def gradient(self, grad: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient at the input from that at the result `y`. Overwrites `grad`."""
        return self._gradient(grad, y)

    @property
    def fused(self) -> bool:
        """Whether the operations apply it in the same pass (`activation=` of `fastconv.ops`)."""
        return self.__name__ in ("linear", "relu")

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"


def _linear(x: FloatArray, out: FloatArray | None) -> FloatArray:
    if out is None:
        return x.copy()
    if out is not x:
        out[...] = x
    return out


def _linear_gradient(grad: FloatArray, _y: FloatArray) -> FloatArray:
    return grad


def _relu(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return ops.relu(x, out=out)


def _relu_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    return ops.relu_gradient(grad, y, out=grad)


def _sigmoid(x: FloatArray, out: FloatArray | None) -> FloatArray:
    y = np.negative(x, out=out)
    # exp overflows to inf below -88 in float32, and 1 / (1 + inf) is the right 0.
    with np.errstate(over="ignore"):
        np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def _sigmoid_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    grad *= y
    grad -= grad * y
    return grad


def _tanh(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return np.tanh(x, out=out)


def _tanh_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    slope = y * y
    np.subtract(1, slope, out=slope)
    grad *= slope
    return grad


def _softmax(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return ops.softmax(x, out=out)


def _softmax_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    grad -= np.sum(grad * y, axis=-1, keepdims=True)
    grad *= y
    return grad


linear = ActivationFunction("linear", _linear, _linear_gradient)
relu = ActivationFunction("relu", _relu, _relu_gradient)
sigmoid = ActivationFunction("sigmoid", _sigmoid, _sigmoid_gradient)
tanh = ActivationFunction("tanh", _tanh, _tanh_gradient)
softmax = ActivationFunction("softmax", _softmax, _softmax_gradient)

_NAMES = {function.__name__: function for function in (linear, relu, sigmoid, tanh, softmax)}


def get(identifier: str | Callable[..., object] | None) -> ActivationFunction:
    """The activation of a name or of a function whose name is known; None is linear.

    A function of another library, such as `tf.nn.relu`, stands for the activation of its name.

    >>> get("relu")
    <activation relu>
    >>> get(np.tanh)
    <activation tanh>

    Raises:
        ValueError: a name that is not known.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, ActivationFunction):
        return identifier
    name = identifier if isinstance(identifier, str) else getattr(identifier, "__name__", None)
    if name not in _NAMES:
        expected = f"one of {', '.join(_NAMES)} or a function of such a name"
        raise value_error("activations.get", "identifier", "is not known", expected, identifier)
    return _NAMES[name]
