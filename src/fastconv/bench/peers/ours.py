"""fastconv itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastconv
from fastconv import layers, losses, ops, optimizers
from fastconv.bench.cases import Case
from fastconv.bench.data import Batch, Operands, OperandsMaker
from fastconv.bench.job import CHECKED_STEPS, Job, operation_job, prediction_job, training_job
from fastconv.bench.layer_sets import find_layer
from fastconv.bench.models import Network
from fastconv.bench.peers import EXACT, array_functions
from fastconv.bench.workloads import Conv
from fastconv.models.fused_pool import Conv2DMaxPooling2D


def configure(threads: int) -> None:
    """Use so many threads."""
    fastconv.set_num_threads(threads)


def build(network: Network) -> fastconv.Sequential:
    """The model with the weights of `network`."""
    model = fastconv.Sequential([fastconv.Input(network.input_shape), *network.layers()])
    model.set_weights(network.weights())
    return model


def train(network: Network, batches: Sequence[Batch], mode: str) -> Job:
    """Adam on the cross-entropy."""
    model = build(network)
    loss = losses.SparseCategoricalCrossentropy(from_logits=not network.softmax)
    model.compile(optimizers.Adam(), loss)
    if mode == "train_on_batch":
        return training_job(model.train_on_batch, batches)
    x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    batch = len(batches[0].x)

    def fit(x: Any, y: Any) -> float:
        history = model.fit(x, y, batch_size=batch, verbose=0)
        return float(history.history["loss"][0])

    return Job(
        run=lambda: fit(x, y),
        results=lambda: [np.array([fit(*pair) for pair in batches[:CHECKED_STEPS]])],
        rounds=len(batches),
    )


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:  # noqa: ARG001
    """Probabilities, or logits of networks that end in them."""
    return prediction_job(build(network).predict_on_batch, inputs)


def operate(case: Case, operands: OperandsMaker, mode: str) -> Job:
    """A call of `fastconv.ops`, or what a model calls when it trains."""
    fastconv.set_precision("strict" if mode == EXACT else case.precision)
    if mode == "ops":
        return array_functions.job(ops, case, operands())
    if mode == EXACT:
        exact: Any = (array.astype(np.float64) for array in operands())
        return array_functions.job(ops, case, Operands(*exact))
    layer = find_layer(case.subject)
    if not case.operation.startswith("fused") or not isinstance(layer, Conv):
        raise NotImplementedError(f"training calls fastconv.ops for {case.operation}")
    if case.layout != "channels_last":
        raise NotImplementedError("models are channels_last")
    return operation_job(_fused(case.operation, layer, operands()))


def _fused(operation: str, conv: Conv, operands: Operands) -> Callable[[], Any]:
    """The step that a model makes of a convolution and a pooling."""
    x, kernel, bias, grad = operands
    assert conv.pool is not None
    same = conv.strides == 1 and 2 * conv.padding == conv.kernel_size - 1
    if conv.padding and not same:
        raise NotImplementedError(f"layers have no padding of {conv.padding}")
    layer = layers.Conv2D(
        conv.out_channels,
        conv.kernel_size,
        conv.strides,
        "same" if conv.padding else "valid",
        groups=conv.groups,
        activation="relu",
    )
    pool = layers.MaxPooling2D(conv.pool.size, conv.pool.strides)
    fastconv.Sequential([fastconv.Input(x.shape[1:]), layer, pool]).set_weights([kernel, bias])
    step = Conv2DMaxPooling2D(layer, pool)
    if operation == "fused-forward":
        return lambda: step.forward(x, training=True)[0]
    _, saved = step.forward(x, training=True)
    if operation == "fused-input-gradient":
        return lambda: step.backward(grad, saved, need_input_gradient=True)
    # Weights whose gradients have no place are not trained.
    gradient = layer.kernel.gradient = np.empty_like(kernel)

    def run() -> Any:
        step.backward(grad, saved, need_input_gradient=False)
        return gradient

    return run
