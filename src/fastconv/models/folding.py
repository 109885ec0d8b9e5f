"""A layer with a kernel and the batch normalisation after it as one step.

In predictions the normalisation is `scale * y + shift` by channel, with constants: kernel and bias
are multiplied and shifted instead, in copies that live as long as the call. The weights of both
layers stay as they are. In training the layers run one after the other.
"""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from fastconv import activations
from fastconv.layers import (
    BatchNormalization,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    SeparableConv2D,
    Variable,
)
from fastconv.layers.arguments import CHANNEL_AXES
from fastconv.layers.base_convolution import BaseConvolution

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastconv._types import FloatArray
    from fastconv.models.fusion import Runner


class Normalized:
    """Convolution or Dense -> BatchNormalization -> layers that would be fused with the first.

    Args:
        layer: the first, without activation.
        normalization: along the channels of its result.
        others: what follows: a ReLU, a pooling, or both.
        fuse: makes one step of a layer such as the first and of `others`.
    """

    def __init__(
        self,
        layer: BaseConvolution | Dense,
        normalization: BatchNormalization,
        others: Sequence[Runner],
        fuse: Callable[[Runner], Runner],
    ) -> None:
        self.layer = layer
        self.normalization = normalization
        self.others = tuple(others)
        self.fuse = fuse

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        if not training:
            runner = self.fuse(folded(self.layer, self.normalization))
            return runner.forward(x, training=False)
        tape = []
        for runner in (self.layer, self.normalization, *self.others):
            x, saved = runner.forward(x, training=True)
            tape.append(saved)
        return x, tape

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        for runner in (*self.others[::-1], self.normalization):
            below = runner.backward(grad, saved.pop(), need_input_gradient=True)
            assert below is not None
            grad = below
        return self.layer.backward(grad, saved.pop(), need_input_gradient=need_input_gradient)


def can_fold(first: Runner, second: Runner) -> bool:
    """Whether `Normalized` takes these two layers."""
    if not isinstance(second, BatchNormalization):
        return False
    if isinstance(first, BaseConvolution):
        along_channels = second.axis % 4 == CHANNEL_AXES[first.data_format]
        return first.activation is activations.linear and along_channels
    if isinstance(first, Dense):
        return first.activation is activations.linear and second.axis == -1
    return False


def folded(
    layer: BaseConvolution | Dense, normalization: BatchNormalization
) -> BaseConvolution | Dense:
    """A copy of `layer` whose result is what `normalization` makes of that of `layer`."""
    scale, shift = normalization.moving_scale_and_shift()
    other: Any = copy.copy(layer)
    name = "pointwise_kernel" if isinstance(layer, SeparableConv2D) else "kernel"
    kernel = getattr(layer, name).value
    by_filter = scale
    if isinstance(layer, DepthwiseConv2D):
        by_filter = scale.reshape(kernel.shape[2:])
    elif isinstance(layer, Conv2DTranspose):
        by_filter = scale[:, None]
    if layer.bias is not None:
        shift += layer.bias.value * scale
    setattr(other, name, Variable(kernel * by_filter, name, name, trainable=False))
    other.bias = Variable(shift, "bias", "bias", trainable=False)
    return other  # type: ignore[no-any-return]
