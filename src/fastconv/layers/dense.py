"""Fully connected layers."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv import _core, activations, initializers, regularizers
from fastconv._errors import value_error
from fastconv._shapes import normalize_int
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape
    from fastconv.layers.variable import Variable
    from fastconv.regularizers import Regularizer


class Dense(Layer):
    """`activation(x @ kernel + bias)` over the last axis.

    Input `(N, ..., features)`, result `(N, ..., units)`. Weights: `kernel` `(features, units)`
    and `bias` `(units,)`.

    Args:
        units: size of the result's last axis.
        activation: name, function whose name is known, or None.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: names or callables.
        kernel_regularizer, bias_regularizer: names, objects or None.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range.

    >>> Dense(10).compute_output_shape((None, 1600))
    (None, 10)
    """

    min_ndim = 2
    input_axes = "(batch, ..., features)"
    kernel: Variable
    bias: Variable | None

    def __init__(
        self,
        units: int,
        activation: str | Callable[..., object] | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "glorot_uniform",
        bias_initializer: str | Callable[..., Any] = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.units = normalize_int("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        if features is None:
            rule = "needs a known last axis"
            raise value_error(self._title, "the input", rule, "an int", f"shape {input_shape}")
        self.kernel = self.add_weight(
            (features, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                name="bias",
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        if self.built and input_shape[-1] != self.kernel.shape[0]:
            rule, expected = "has the wrong last axis", self.kernel.shape[0]
            raise value_error(self._title, "the input", rule, expected, f"shape {input_shape}")
        return (*input_shape[:-1], self.units)

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        kernel, bias = self.kernel.value, None if self.bias is None else self.bias.value
        rows = _rows(x)
        result = _core.empty((len(rows), self.units), x.dtype)
        relu = self.activation.in_op == "relu"
        _core.matmul(rows, kernel, bias, result, False, False, relu, 0)
        if x.ndim != 2:
            result = result.reshape(*x.shape[:-1], self.units)
        y, kept = self.activation.complete(result)
        return y, (x, kept)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        x, kept = saved
        grad = _rows(self.activation.gradient(grad, kept))
        kernel, bias = self.kernel, self.bias
        if kernel.gradient is not None:
            _core.matmul(_rows(x), grad, None, kernel.gradient, True, False, False, 0)
        if bias is not None and bias.gradient is not None:
            np.add.reduce(grad, axis=0, out=bias.gradient)
        if not need_input_gradient:
            return None
        dx = _core.empty(x.shape, x.dtype)
        _core.matmul(grad, kernel.value, None, _rows(dx), False, True, False, 0)
        return dx


def _rows(x: FloatArray) -> FloatArray:
    return np.ascontiguousarray(x if x.ndim == 2 else x.reshape(-1, x.shape[-1]))
