"""One thing to measure, small enough to be told to another process in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fastconv.bench import models
from fastconv.bench.layer_sets import find_layer
from fastconv.bench.workloads import Conv, Dense

__all__ = ["COLD", "OPERATIONS", "Case", "Task", "operation_cases"]

Task: TypeAlias = Literal["train", "predict", "ops"]

CONV_OPERATIONS = {
    "forward": "convolution and bias",
    "kernel-gradient": "gradient of the kernel",
    "input-gradient": "gradient of the input",
}
FUSED_OPERATIONS = {
    "fused-forward": "convolution, bias, ReLU, max pooling with the places of the maxima",
    "fused-kernel-gradient": "gradient of the kernel, from that of the pooled result",
    "fused-input-gradient": "gradient of the input, from that of the pooled result",
}
POOL_OPERATIONS = {
    "max-pool": "max pooling with the places of the maxima",
    "max-pool-gradient": "gradient of its input",
}
DENSE_OPERATIONS = {
    "dense-forward": "matrix product and bias",
    "dense-kernel-gradient": "gradient of the matrix",
    "dense-input-gradient": "gradient of the input",
}
OPERATIONS = CONV_OPERATIONS | FUSED_OPERATIONS | POOL_OPERATIONS | DENSE_OPERATIONS
"""What each does."""

COLD = ", inputs not in a cache"


@dataclass(frozen=True)
class Case:
    """A training step or prediction of a network, or an operation of a layer.

    Attributes:
        subject: name of the network, or of the layer.
        operation: a key of `OPERATIONS`; empty for networks.
        cold: whether an operation takes its inputs from so many copies that no cache has them.
    """

    task: Task
    subject: str
    batch: int
    operation: str = ""
    cold: bool = False

    @property
    def title(self) -> str:
        """In words."""
        what = {"train": "training step", "predict": "prediction", "ops": self.operation}[self.task]
        return f"{what} of {self.subject}, batch {self.batch}{COLD if self.cold else ''}"

    @property
    def flops(self) -> int:
        """Multiplications and additions of the dense rule; 0 where there is nothing but moves."""
        if self.task == "ops":
            moves = self.operation in POOL_OPERATIONS
            return 0 if moves else find_layer(self.subject).flops(self.batch)
        network = models.network(self.subject)
        per_image = network.training_flops if self.task == "train" else network.forward_flops
        return self.batch * per_image


def operation_cases(
    layers: Sequence[Conv | Dense], operations: Sequence[str], batch: int, *, cold: bool
) -> Iterable[Case]:
    """Those of the operations that a layer has, for every layer."""
    for layer in layers:
        for operation in operations:
            if operation in _operations_of(layer):
                yield Case("ops", layer.name, batch, operation, cold)


def _operations_of(layer: Conv | Dense) -> dict[str, str]:
    if isinstance(layer, Dense):
        return DENSE_OPERATIONS
    pooled = {} if layer.pool is None else FUSED_OPERATIONS | POOL_OPERATIONS
    return CONV_OPERATIONS | pooled
