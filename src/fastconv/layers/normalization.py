"""Batch normalisation."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv import initializers, regularizers
from fastconv._errors import value_error
from fastconv.layers.arguments import check_sample_axis, normalize_index, normalize_number
from fastconv.layers.channel_sums import channel_dots, channel_sums
from fastconv.layers.layer import Layer, LayerOptions
from fastconv.ops._memory import allocate

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape
    from fastconv.layers.variable import Variable
    from fastconv.regularizers import Regularizer


class BatchNormalization(Layer):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each channel.

    Any input shape; the result has the same. In training, mean and variance (biased) are those of
    the batch, and the moving statistics become `moving * momentum + batch * (1 - momentum)`.
    Otherwise, and where `trainable` is False, mean and variance are the moving statistics.
    Weights, each `(C,)`: `gamma` if `scale`, `beta` if `center`, `moving_mean` and
    `moving_variance`, which no optimizer changes.

    Args:
        axis: the axis of the channels; 1 for channels_first.
        momentum: 0 <= momentum <= 1.
        epsilon: positive.
        center, scale: whether there are `beta` and `gamma`.
        beta_initializer, gamma_initializer, moving_mean_initializer,
            moving_variance_initializer: names or callables.
        beta_regularizer, gamma_regularizer: names, objects or None.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError, TypeError: arguments out of range.

    Source: Ioffe and Szegedy (2015), with Keras' moving statistics.

    >>> BatchNormalization().compute_output_shape((None, 28, 28, 8))
    (None, 28, 28, 8)
    """

    gamma: Variable | None
    beta: Variable | None
    moving_mean: Variable
    moving_variance: Variable

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: str | Callable[..., Any] = "zeros",
        gamma_initializer: str | Callable[..., Any] = "ones",
        moving_mean_initializer: str | Callable[..., Any] = "zeros",
        moving_variance_initializer: str | Callable[..., Any] = "ones",
        beta_regularizer: str | Regularizer | None = None,
        gamma_regularizer: str | Regularizer | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        name = "BatchNormalization"
        self.axis = normalize_index(name, "axis", axis)
        self.momentum = normalize_number(name, "momentum", momentum)
        if not 0 <= self.momentum <= 1:
            raise value_error(name, "momentum", "is out of range", "0 <= momentum <= 1", momentum)
        self.epsilon = normalize_number(name, "epsilon", epsilon)
        if not self.epsilon > 0:
            raise value_error(name, "epsilon", "must be positive", "> 0", epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)

    def build(self, input_shape: Shape) -> None:
        self.compute_output_shape(input_shape)
        channels = input_shape[self.axis]
        if channels is None:
            rule = f"needs a known size of axis {self.axis}"
            raise value_error(self._title, "the input", rule, "an int", f"shape {input_shape}")
        shape = (channels,)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, regularizer=self.gamma_regularizer, name="gamma"
            )
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, regularizer=self.beta_regularizer, name="beta"
            )
        self.moving_mean = self.add_weight(
            shape, self.moving_mean_initializer, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        check_sample_axis(self._title, self.axis, input_shape)
        if self.built and input_shape[self.axis] != self.moving_mean.shape[0]:
            rule, channels = f"has the wrong axis {self.axis}", self.moving_mean.shape[0]
            raise value_error(self._title, "the input", rule, channels, f"shape {input_shape}")
        return input_shape

    def moving_scale_and_shift(self) -> tuple[FloatArray, FloatArray]:
        """What the layer is outside training: `scale * x + shift`, each `(C,)`."""
        variance = self.moving_variance.value + self.epsilon
        scale = np.reciprocal(np.sqrt(variance, out=variance), out=variance)
        if self.gamma is not None:
            scale *= self.gamma.value
        shift = np.negative(self.moving_mean.value * scale)
        if self.beta is not None:
            shift += self.beta.value
        return scale, shift

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        y = allocate("BatchNormalization", x.shape, x.dtype)
        if not training or not self.trainable or not x.size:
            scale, shift = self.moving_scale_and_shift()
            np.multiply(x, self._over(x, scale), out=y)
            y += self._over(x, shift)
            return y, (scale, None, None, None)
        count = x.size // x.shape[self.axis]
        mean = channel_sums(x, self.axis) / count
        np.subtract(x, self._over(x, mean), out=y)
        variance = channel_dots(y, y, self.axis) / count
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        inverse = 1 / np.sqrt(variance + self.epsilon)
        scale = inverse if self.gamma is None else inverse * self.gamma.value
        y *= self._over(x, scale)
        if self.beta is not None:
            y += self._over(x, self.beta.value)
        return y, (scale, x, mean, inverse)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        scale, x, mean, inverse = saved
        if x is None:
            for variable in (self.gamma, self.beta):
                if variable is not None and variable.gradient is not None:
                    variable.gradient[...] = 0
            grad *= self._over(grad, scale)
            return grad
        centred = allocate("BatchNormalization", x.shape, x.dtype)
        np.subtract(x, self._over(x, mean), out=centred)
        sums = channel_sums(grad, self.axis)
        dots = channel_dots(grad, centred, self.axis)
        if self.beta is not None and self.beta.gradient is not None:
            self.beta.gradient[...] = sums
        if self.gamma is not None and self.gamma.gradient is not None:
            np.multiply(dots, inverse, out=self.gamma.gradient)
        if not need_input_gradient:
            return None
        # scale * (grad - mean(grad) - normalised * mean(grad * normalised))
        count = x.size // x.shape[self.axis]
        centred *= self._over(x, -scale * inverse * inverse * dots / count)
        grad *= self._over(x, scale)
        grad += centred
        grad -= self._over(x, scale * sums / count)
        return grad

    def _move(self, variable: Variable, batch: FloatArray) -> None:
        variable.value *= self.momentum
        variable.value += batch * (1 - self.momentum)

    def _over(self, x: FloatArray, values: FloatArray) -> FloatArray:
        """A value for each channel in a shape that fits `x`."""
        return values.reshape(-1, *(1,) * (x.ndim - 1 - self.axis % x.ndim))
