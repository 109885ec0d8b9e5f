"""PyTorch without compilation: fused Adam, activations in place, inference mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv.bench.cases import Case
from fastconv.bench.data import Batch, OperandsMaker
from fastconv.bench.job import Job, prediction_job, training_job
from fastconv.bench.models import Network
from fastconv.bench.peers import torch_operations
from fastconv.bench.peers.torch_network import (
    TorchNetwork,
    image_tensor,
    tensor_batches,
    torch,
    training_step,
)


def configure(threads: int) -> None:
    """Use so many threads."""
    torch.set_num_threads(threads)


def train(network: Network, batches: Sequence[Batch], mode: str) -> Job:
    """Adam on the cross-entropy."""
    built = TorchNetwork(network, mode)
    return training_job(training_step(built, built.loss), tensor_batches(batches, mode))


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:
    """Probabilities, or logits of networks that end in them."""
    built = TorchNetwork(network, mode)
    predict = torch.inference_mode()(built.prediction)
    return prediction_job(predict, [image_tensor(x, mode) for x in inputs])


def operate(case: Case, operands: OperandsMaker, mode: str) -> Job:  # noqa: ARG001
    """The functions that PyTorch's own operations and their gradients call."""
    return torch_operations.job(case, operands())
