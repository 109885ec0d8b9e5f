"""Dropout."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fastconv import _core, random
from fastconv._errors import value_error
from fastconv.layers.arguments import normalize_index, normalize_number
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape

_UINT8 = np.dtype(np.uint8)


class Dropout(Layer):
    """In training, zero each value with probability `rate` and scale the others by 1/(1 - rate).

    Any input shape. The mask is a function of the seed and of the number of values drawn before
    (`fastconv.ops.dropout`): it is the same for every thread count and never comes again.

    Args:
        rate: 0 <= rate <= 1.
        noise_shape: only None: every value has its own mask.
        seed: of this layer, modulo 2**64; by default from `utils.set_random_seed`.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    Raises:
        ValueError: a rate out of range, or a noise_shape.
        TypeError: a rate that is no number, or a seed that is no int.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.rate = normalize_number("Dropout", "rate", rate)
        if not 0 <= self.rate <= 1:
            raise value_error("Dropout", "rate", "is out of range", "0 <= rate <= 1", rate)
        if noise_shape is not None:
            rule = "is not supported"
            raise value_error("Dropout", "noise_shape", rule, None, repr(noise_shape))
        self.noise_shape = noise_shape
        self.seed = None if seed is None else normalize_index("Dropout", "seed", seed)
        first = random.next_seed() if self.seed is None else self.seed % 2**64
        self.random_state: tuple[int, int] = first, 0

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        return input_shape

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        if not training or self.rate == 0:
            return x, None
        seed, offset = self.random_state
        # An array of n values uses up (n + 3) // 4 offsets.
        self.random_state = seed, (offset + (x.size + 3) // 4) % 2**64
        x = np.ascontiguousarray(x)
        y = _core.empty(x.shape, x.dtype)
        kept = _core.empty(((x.size + 7) // 8,), _UINT8)
        if self.rate == 1:
            y.fill(0)
        else:
            _core.dropout(x, y, kept, self.rate, seed, offset, 0)
        return y, kept

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        if not need_input_gradient or saved is None:
            return grad
        if self.rate == 1:
            grad.fill(0)
        else:
            _core.dropout_gradient(grad, saved, grad, self.rate, 0)
        return grad
