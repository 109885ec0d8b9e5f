"""Which neighbouring layers of a model run as one step.

- Conv2D, an activation that is linear or ReLU (its own or the next layer's), MaxPooling2D whose
  windows are whole: one call of `ops.conv2d_max_pool2d`.
- A convolution or Dense, then a ReLU layer: the activation goes into the call.
- A convolution or Dense, then BatchNormalization, then what could follow the first itself: in
  predictions the weights take the normalisation in, see `folding`.
- Softmax at the end of the model is split off, so that the loss can start from the logits.

Only where nothing else reads the result in between.
"""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fastconv import activations
from fastconv.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Layer,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from fastconv.layers.base_convolution import BaseConvolution
from fastconv.models.folding import Normalized, can_fold
from fastconv.models.fused_pool import Conv2DMaxPooling2D

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import SymbolicTensor


class Runner(Protocol):
    """What a step calls: a layer, or several fused. See `Layer` for the two functions."""

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]: ...

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None: ...


class Call(NamedTuple):
    """`result` is what `runner`, which does the work of `layers`, makes of `inputs`."""

    runner: Runner
    inputs: tuple[SymbolicTensor, ...]
    result: SymbolicTensor
    layers: tuple[Layer, ...]


def fuse(
    order: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
) -> tuple[list[Call], bool]:
    """The calls that compute `order`, and with it the outputs of the model.

    The second value says whether a softmax at the only output was split off.
    """
    calls = [Call(tensor.layer, tensor.inputs, tensor, (tensor.layer,)) for tensor in order]
    ends_in_softmax = False
    if len(outputs) == 1:
        calls, ends_in_softmax = _split_softmax(calls)
    readers = Counter(tensor for call in calls for tensor in call.inputs)
    readers.update(outputs)
    fused: list[Call] = []
    for call in calls:
        before = fused[-1] if fused else None
        if before is not None and call.inputs == (before.result,):
            runner = _joined(before.runner, call.runner)
            if runner is not None and readers[before.result] == 1:
                layers = before.layers + call.layers
                fused[-1] = Call(runner, before.inputs, call.result, layers)
                continue
        fused.append(call)
    return fused, ends_in_softmax


def _joined(first: Runner, second: Runner) -> Runner | None:
    if isinstance(first, BaseConvolution | Dense) and can_fold(first, second):
        assert isinstance(second, BatchNormalization)
        return Normalized(first, second, (), lambda layer: layer)
    if isinstance(first, Normalized):
        return _joined_after_normalization(first, second)
    if isinstance(first, BaseConvolution | Dense) and _is_relu(second):
        if first.activation is activations.linear:
            return _with_activation(first, activations.relu)
        return None
    if isinstance(first, Conv2D) and isinstance(second, MaxPooling2D):
        same_layout = first.data_format == second.data_format
        if same_layout and second.padding == "valid" and first.activation.fused:
            return Conv2DMaxPooling2D(first, second)
    return None


def _joined_after_normalization(first: Normalized, second: Runner) -> Runner | None:
    if _joined(first.fuse(first.layer), second) is None or isinstance(second, BatchNormalization):
        return None

    def fuse(layer: Runner) -> Runner:
        runner = _joined(first.fuse(layer), second)
        assert runner is not None
        return runner

    return Normalized(first.layer, first.normalization, (*first.others, second), fuse)


def _is_relu(runner: Runner) -> bool:
    if isinstance(runner, Activation):
        return runner.activation is activations.relu
    return isinstance(runner, ReLU) and runner.plain


def _split_softmax(calls: list[Call]) -> tuple[list[Call], bool]:
    if not calls:
        return calls, False
    last = calls[-1]
    layer = last.runner
    if isinstance(layer, Conv2D | Dense) and layer.activation is activations.softmax:
        linear = _with_activation(layer, activations.linear)
        return [*calls[:-1], last._replace(runner=linear)], True
    ndim = len(last.result.shape)
    if (isinstance(layer, Activation) and layer.activation is activations.softmax) or (
        isinstance(layer, Softmax) and layer.axis in (-1, ndim - 1)
    ):
        return calls[:-1], True
    return calls, False


def _with_activation(
    layer: BaseConvolution | Dense, activation: activations.ActivationFunction
) -> BaseConvolution | Dense:
    """The same layer, with the same weights, under another activation."""
    other = copy.copy(layer)
    other.activation = activation
    return other
