"""Activation functions with their gradients: Keras 3's names and formulas.

Most gradients are written in terms of the *result* `y`, so that a layer need not keep its
pre-activation: relu y > 0, sigmoid y (1 - y), tanh 1 - y^2, softmax y (g - <g, y>). Those of
gelu, silu, hard_silu and mish, which are not monotonic, need the input.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastconv import ops
from fastconv._erf import erf
from fastconv._errors import value_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import Activation, FloatArray


class ActivationFunction:
    """A named elementwise function (the softmaxes: over the last axis) and its gradient.

    Call it on an array of float32 or float64 to get a new one of the same shape and dtype.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[[FloatArray, FloatArray | None], FloatArray],
        gradient: Callable[[FloatArray, FloatArray], FloatArray],
        *,
        keeps_input: bool = False,
    ) -> None:
        self.__name__ = name
        self._forward = forward
        self._gradient = gradient
        self._keeps_input = keeps_input

    def __call__(self, x: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """The function of `x`; `out` may be `x` itself."""
        return self._forward(x, out)

    def gradient(self, grad: FloatArray, kept: FloatArray) -> FloatArray:
        """The gradient at the input from that at the result. Overwrites `grad`.

        Args:
            grad: gradient at the result.
            kept: the result, or what `complete` or `record` kept.
        """
        return self._gradient(grad, kept)

    def record(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The result in an array of its own, and what `gradient` needs."""
        y = self(x)
        return y, x if self._keeps_input else y

    @property
    def in_op(self) -> Activation:
        """What to give to an operation of `fastconv.ops` as `activation`."""
        return "relu" if self is relu else None

    def complete(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The result, and what `gradient` needs, after an operation that was given `in_op`.

        May overwrite `y`.
        """
        if self.fused:
            return y, y
        if self._keeps_input:
            return self(y), y
        self(y, out=y)
        return y, y

    @property
    def fused(self) -> bool:
        """Whether operations with `in_op` leave nothing to do."""
        return self is linear or self is relu

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


def _leaky_relu(x: FloatArray, out: FloatArray | None) -> FloatArray:
    y = np.multiply(x, 0.2)
    return np.maximum(x, y, out=y if out is None else out)


def _leaky_relu_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    np.multiply(grad, 0.2, out=grad, where=y < 0)
    return grad


def _clipped(
    scale: float, offset: float, low: float, high: float
) -> tuple[
    Callable[[FloatArray, FloatArray | None], FloatArray],
    Callable[[FloatArray, FloatArray], FloatArray],
]:
    """`clip(scale * x + offset, low, high)` and its gradient."""

    def forward(x: FloatArray, out: FloatArray | None) -> FloatArray:
        y = np.multiply(x, scale, out=out)
        y += offset
        return np.clip(y, low, high, out=y)

    def gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
        grad *= (y > low) & (y < high)
        grad *= scale
        return grad

    return forward, gradient


def _elu(x: FloatArray, out: FloatArray | None) -> FloatArray:
    negative = np.expm1(np.minimum(x, 0))
    y = np.maximum(x, 0, out=out)
    y += negative
    return y


def _elu_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    slope = np.minimum(y, 0)
    slope += 1
    grad *= slope
    return grad


# The fixed point of mean 0 and variance 1; source: Klambauer et al. (2017), equation 14.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _selu(x: FloatArray, out: FloatArray | None) -> FloatArray:
    negative = np.expm1(np.minimum(x, 0))
    negative *= _SELU_ALPHA
    y = np.maximum(x, 0, out=out)
    y += negative
    y *= _SELU_SCALE
    return y


def _selu_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    slope = y + _SELU_SCALE * _SELU_ALPHA
    np.copyto(slope, _SELU_SCALE, where=y > 0)
    grad *= slope
    return grad


def _exponential(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return np.exp(x, out=out)


def _exponential_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    grad *= y
    return grad


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


def _softplus(x: FloatArray, out: FloatArray | None) -> FloatArray:
    rest = np.abs(x)
    np.log1p(np.exp(np.negative(rest, out=rest), out=rest), out=rest)
    y = np.maximum(x, 0, out=out)
    y += rest
    return y


def _softplus_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    slope = np.expm1(-y)
    grad *= np.negative(slope, out=slope)
    return grad


def _log_sigmoid(x: FloatArray, out: FloatArray | None) -> FloatArray:
    y = _softplus(np.negative(x, out=out), out)
    return np.negative(y, out=y)


def _log_sigmoid_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    slope = np.expm1(y)
    grad *= np.negative(slope, out=slope)
    return grad


def _softsign(x: FloatArray, out: FloatArray | None) -> FloatArray:
    size = np.abs(x)
    size += 1
    return np.divide(x, size, out=out)


def _softsign_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    slope = 1 - np.abs(y)
    slope *= slope
    grad *= slope
    return grad


def _tanh(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return np.tanh(x, out=out)


def _tanh_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    slope = y * y
    np.subtract(1, slope, out=slope)
    grad *= slope
    return grad


def _silu(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return np.multiply(x, _sigmoid(x, None), out=out)


def _silu_gradient(grad: FloatArray, x: FloatArray) -> FloatArray:
    sigmoid = _sigmoid(x, None)
    slope = 1 - sigmoid
    slope *= x
    slope += 1
    slope *= sigmoid
    grad *= slope
    return grad


_hard_sigmoid, _hard_sigmoid_gradient = _clipped(1 / 6, 0.5, 0, 1)


def _hard_silu(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return np.multiply(x, _hard_sigmoid(x, None), out=out)


def _hard_silu_gradient(grad: FloatArray, x: FloatArray) -> FloatArray:
    slope = _hard_sigmoid(x, None)
    np.add(slope, x / 6, out=slope, where=(slope > 0) & (slope < 1))
    grad *= slope
    return grad


def _gelu(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return np.multiply(x, _normal_cdf(x), out=out)


def _gelu_gradient(grad: FloatArray, x: FloatArray) -> FloatArray:
    slope = np.exp(-0.5 * x * x)
    slope *= x
    slope /= math.sqrt(2 * math.pi)
    slope += _normal_cdf(x)
    grad *= slope
    return grad


def _normal_cdf(x: FloatArray) -> FloatArray:
    cdf = erf(x * math.sqrt(0.5))
    cdf += 1
    cdf *= 0.5
    return cdf


def _mish(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return np.multiply(x, np.tanh(_softplus(x, None)), out=out)


def _mish_gradient(grad: FloatArray, x: FloatArray) -> FloatArray:
    tanh = np.tanh(_softplus(x, None))
    slope = 1 - tanh * tanh
    slope *= _sigmoid(x, None)
    slope *= x
    slope += tanh
    grad *= slope
    return grad


def _softmax(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return ops.softmax(x, out=out)


def _softmax_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    grad -= np.sum(grad * y, axis=-1, keepdims=True)
    grad *= y
    return grad


def _log_softmax(x: FloatArray, out: FloatArray | None) -> FloatArray:
    return ops.log_softmax(x, out=out)


def _log_softmax_gradient(grad: FloatArray, y: FloatArray) -> FloatArray:
    grad -= np.exp(y) * np.sum(grad, axis=-1, keepdims=True)
    return grad


linear = ActivationFunction("linear", _linear, _linear_gradient)
relu = ActivationFunction("relu", _relu, _relu_gradient)
relu6 = ActivationFunction("relu6", *_clipped(1, 0, 0, 6))
leaky_relu = ActivationFunction("leaky_relu", _leaky_relu, _leaky_relu_gradient)
elu = ActivationFunction("elu", _elu, _elu_gradient)
selu = ActivationFunction("selu", _selu, _selu_gradient)
exponential = ActivationFunction("exponential", _exponential, _exponential_gradient)
sigmoid = ActivationFunction("sigmoid", _sigmoid, _sigmoid_gradient)
hard_sigmoid = ActivationFunction("hard_sigmoid", _hard_sigmoid, _hard_sigmoid_gradient)
log_sigmoid = ActivationFunction("log_sigmoid", _log_sigmoid, _log_sigmoid_gradient)
softplus = ActivationFunction("softplus", _softplus, _softplus_gradient)
softsign = ActivationFunction("softsign", _softsign, _softsign_gradient)
tanh = ActivationFunction("tanh", _tanh, _tanh_gradient)
hard_tanh = ActivationFunction("hard_tanh", *_clipped(1, 0, -1, 1))
silu = swish = ActivationFunction("silu", _silu, _silu_gradient, keeps_input=True)
hard_silu = hard_swish = ActivationFunction(
    "hard_silu", _hard_silu, _hard_silu_gradient, keeps_input=True
)
gelu = ActivationFunction("gelu", _gelu, _gelu_gradient, keeps_input=True)
mish = ActivationFunction("mish", _mish, _mish_gradient, keeps_input=True)
softmax = ActivationFunction("softmax", _softmax, _softmax_gradient)
log_softmax = ActivationFunction("log_softmax", _log_softmax, _log_softmax_gradient)

_NAMES = {name: value for name, value in globals().items() if isinstance(value, ActivationFunction)}


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
