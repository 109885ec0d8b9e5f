"""One thing to measure, small enough to be told to another process in a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fastconv.bench import models
from fastconv.bench.layer_sets import LayerSet, find_layer
from fastconv.bench.workloads import Conv, Dense, Layer
from fastconv.config import Precision

__all__ = ["KINDS", "OPERATIONS", "Case", "Layout", "Task", "kind_of", "operation_cases"]

Task: TypeAlias = Literal["train", "predict", "ops"]
Layout: TypeAlias = Literal["channels_last", "channels_first"]

CONV_OPERATIONS = {
    "forward": "convolution and bias",
    "input-gradient": "gradient of the input",
    "kernel-gradient": "gradient of the kernel",
}
FUSED_OPERATIONS = {
    "fused-forward": "convolution, bias, ReLU, max pooling with the places of the maxima",
    "fused-input-gradient": "gradient of the input, from that of the pooled result",
    "fused-kernel-gradient": "gradient of the kernel, from that of the pooled result",
}
MAX_POOL_OPERATIONS = {
    "max-pool": "max pooling with the places of the maxima",
    "max-pool-gradient": "gradient of its input",
}
AVERAGE_POOL_OPERATIONS = {
    "average-pool": "average pooling",
    "average-pool-gradient": "gradient of its input",
}
DENSE_OPERATIONS = {
    "dense-forward": "matrix product and bias",
    "dense-input-gradient": "gradient of the input",
    "dense-kernel-gradient": "gradient of the matrix",
}
KINDS = {
    "convolutions": CONV_OPERATIONS,
    "convolutions with max pooling": FUSED_OPERATIONS,
    "max poolings": MAX_POOL_OPERATIONS,
    "average poolings": AVERAGE_POOL_OPERATIONS,
    "dense layers": DENSE_OPERATIONS,
}
"""Operations of each kind of layer, with what each does."""

OPERATIONS = {name: text for kind in KINDS.values() for name, text in kind.items()}
"""What each does."""


@dataclass(frozen=True)
class Case:
    """A training step or prediction of a network, or an operation of a layer.

    Attributes:
        subject: name of the network, or of the layer.
        operation: a key of `OPERATIONS`; empty for networks.
        cold: whether an operation takes its inputs from so many copies that no cache has them.
        layout: of the images of an operation, coming and going.
        precision: of fastconv in an operation; peers have their own.
    """

    task: Task
    subject: str
    batch: int
    operation: str = ""
    cold: bool = False
    layout: Layout = "channels_last"
    precision: Precision = "default"

    @property
    def title(self) -> str:
        """In words."""
        what = {"train": "training step", "predict": "prediction", "ops": self.operation}[self.task]
        return f"{what} of {self.subject}, batch {self.batch}"

    @property
    def flops(self) -> int:
        """Multiplications and additions of the dense rule; 0 where there is nothing but moves."""
        if self.task == "ops":
            return find_layer(self.subject).flops(self.batch)
        network = models.network(self.subject)
        per_image = network.training_flops if self.task == "train" else network.forward_flops
        return self.batch * per_image


def operation_cases(
    layer_set: LayerSet,
    layers: Iterable[str],
    operations: Iterable[str] | None,
    batch: int,
    *,
    cold: bool = False,
    layout: Layout = "channels_last",
    precision: Precision = "default",
) -> Iterable[Case]:
    """Those of the operations that a layer has, for the layers of these names.

    Args:
        layer_set: where the layers are.
        layers: names; those of other sets are left out.
        operations: all if None, but with fused ones only where the set wants them.
        batch: images.
        cold: as in `Case`.
        layout: as in `Case`.
        precision: as in `Case`.
    """
    if operations is None:
        left_out = () if layer_set.fused else FUSED_OPERATIONS
        operations = [name for name in OPERATIONS if name not in left_out]
    wanted = set(operations)
    named = set(layers)
    for layer in layer_set.layers:
        if layer.name in named:
            for operation in _operations_of(layer):
                if operation in wanted:
                    yield Case("ops", layer.name, batch, operation, cold, layout, precision)


def kind_of(operation: str) -> str:
    """The key of `KINDS` that has the operation."""
    return next(kind for kind, operations in KINDS.items() if operation in operations)


def _operations_of(layer: Layer) -> dict[str, str]:
    if isinstance(layer, Dense):
        return DENSE_OPERATIONS
    if isinstance(layer, Conv):
        return CONV_OPERATIONS | (FUSED_OPERATIONS if layer.pool else {})
    return MAX_POOL_OPERATIONS if layer.kind == "max" else AVERAGE_POOL_OPERATIONS
