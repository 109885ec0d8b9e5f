"""`fastconv.reference`: plain NumPy with sums in float64. What the others are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv import reference
from fastconv.bench.cases import Case
from fastconv.bench.data import Batch, OperandsMaker
from fastconv.bench.job import Job, prediction_job, training_job
from fastconv.bench.models import Conv, Dense, Dropout, Flatten, MaxPool, Network
from fastconv.bench.peers import array_functions


def configure(threads: int) -> None:
    """Nothing: the environment of the process holds NumPy's matrix products to the number."""


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:  # noqa: ARG001
    """Probabilities, or logits of networks that end in them."""

    def run(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        logits = forward(network, x)[0]
        return reference.softmax(logits) if network.softmax else logits

    return prediction_job(run, inputs)


def train(network: Network, batches: Sequence[Batch], mode: str) -> Job:  # noqa: ARG001
    """Adam on the cross-entropy."""
    weights = network.weights()
    optimizer = Adam(weights)
    held = iter(weights)
    steps = tuple(
        step._replace(kernel=next(held), bias=next(held))
        if isinstance(step, Conv | Dense)
        else step
        for step in network.steps
    )
    network = network._replace(steps=steps)

    def step(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
        logits, saved = forward(network, x, training=True)
        loss, grad = reference.softmax_cross_entropy(logits, y)
        optimizer.update(backward(network, grad / np.float32(len(x)), saved))
        return float(loss.mean())

    return training_job(step, batches)


def operate(case: Case, operands: OperandsMaker, mode: str) -> Job:  # noqa: ARG001
    """A call of `fastconv.reference`."""
    return array_functions.job(reference, case, operands())


def forward(
    network: Network, x: npt.NDArray[Any], *, training: bool = False
) -> tuple[npt.NDArray[Any], list[Any]]:
    """Logits, and for each step what its gradient needs."""
    saved: list[Any] = []
    for number, step in enumerate(network.steps):
        before = x
        extra: Any = None
        match step:
            case Conv(kernel, bias, relu):
                x = reference.conv2d(x, kernel, bias, activation="relu" if relu else None)
            case MaxPool(size):
                x, extra = reference.max_pool2d(x, size, return_argmax=True)
            case Flatten():
                x = x.reshape(len(x), -1)
            case Dropout(rate) if training:
                x = reference.dropout(x, rate, seed=number)
            case Dense(kernel, bias, relu):
                x = reference.matmul(x, kernel, bias, activation="relu" if relu else None)
        saved.append((before, x, extra))
    return x, saved


def backward(
    network: Network, grad: npt.NDArray[Any], saved: Sequence[Any]
) -> list[npt.NDArray[Any]]:
    """Gradients of all weights from that of the logits."""
    gradients: list[npt.NDArray[Any]] = []
    for number in reversed(range(len(network.steps))):
        step = network.steps[number]
        x, y, extra = saved[number]
        if isinstance(step, Conv | Dense) and step.relu:
            grad = reference.relu_gradient(grad, y)
        match step:
            case Conv(kernel):
                grad, *others = _not_none(reference.conv2d_gradients(x, kernel, grad))
                gradients += others[::-1]
            case MaxPool():
                grad = reference.max_pool2d_gradient(grad, extra, x.shape)
            case Flatten():
                grad = grad.reshape(x.shape)
            case Dropout(rate):
                grad = reference.dropout(grad, rate, seed=number)
            case Dense(kernel):
                gradients += [grad.sum(axis=0), reference.matmul(x, grad, transpose_a=True)]
                grad = reference.matmul(grad, kernel, transpose_b=True)
    return gradients[::-1]


def _not_none(gradients: Sequence[npt.NDArray[Any] | None]) -> list[npt.NDArray[Any]]:
    """All that can be asked for were."""
    return [gradient for gradient in gradients if gradient is not None]


class Adam:
    """Kingma and Ba (2015), in Keras' order of operations and with its constants."""

    def __init__(self, weights: Sequence[npt.NDArray[Any]]) -> None:
        self._weights = weights
        self._means = [np.zeros_like(weight) for weight in weights]
        self._squares = [np.zeros_like(weight) for weight in weights]
        self._time = 0

    def update(self, gradients: Sequence[npt.NDArray[Any]]) -> None:
        """One step, in place."""
        self._time += 1
        rate = 1e-3 * math.sqrt(1 - 0.999**self._time) / (1 - 0.9**self._time)
        parts = zip(self._weights, gradients, self._means, self._squares, strict=True)
        for weight, gradient, mean, square in parts:
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            weight -= rate * mean / (np.sqrt(square) + 1e-7)
