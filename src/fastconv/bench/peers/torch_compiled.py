"""PyTorch under `torch.compile`; needs a C++ compiler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv.bench.data import Batch
from fastconv.bench.job import Job, prediction_job, training_job
from fastconv.bench.models import Network
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
    step = training_step(built, compiled(built.loss))
    return training_job(step, tensor_batches(batches, mode))


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:
    """Probabilities, or logits of networks that end in them."""
    built = TorchNetwork(network, mode)
    predict = torch.inference_mode()(compiled(built.prediction))
    return prediction_job(predict, [image_tensor(x, mode) for x in inputs])


def compiled(function: Any) -> Any:
    """Compiled for one size of batches."""
    # Else a second size would get code for any size.
    torch.compiler.reset()
    return torch.compile(function, dynamic=False)
