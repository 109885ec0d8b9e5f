"""The shapes that are measured: layers of the small networks, batch sizes, networks.

`layer_sets` adds the layers of large networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from fastconv import networks

__all__ = [
    "BATCHES",
    "CONVS",
    "DENSES",
    "MODELS",
    "SQUARES",
    "Conv",
    "Dense",
    "Layer",
    "ModelShape",
    "Pool",
    "Pooling",
]

BATCHES = (1, 128)


class Pool(NamedTuple):
    """A max pooling without padding."""

    size: int
    strides: int


@dataclass(frozen=True)
class Conv:
    """A convolution with bias, and what stands around it in its network.

    Attributes:
        padding: zeros on each of the four sides.
        groups: `in_channels` for a depthwise convolution.
        pool: the max pooling directly behind it, if there is one; of layers that stand together the
            last has it.
        count: layers of this shape in the network.
    """

    name: str
    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel_size: int = 3
    strides: int = 1
    padding: int = 0
    groups: int = 1
    pool: Pool | None = None
    count: int = 1

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return (self.height + 2 * self.padding - self.kernel_size) // self.strides + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return (self.width + 2 * self.padding - self.kernel_size) // self.strides + 1

    @property
    def shape(self) -> str:
        """In short, such as 56x56x64 -> 256, 1x1."""
        sizes = f"{self.height}x{self.width}x{self.in_channels} -> {self.out_channels}"
        strides = f", strides {self.strides}" if self.strides > 1 else ""
        groups = f", groups {self.groups}" if self.groups > 1 else ""
        return f"{sizes}, {self.kernel_size}x{self.kernel_size}{strides}{groups}"

    def flops(self, batch: int) -> int:
        """Multiplications and additions of the dense rule, of one layer."""
        window = self.kernel_size**2 * self.in_channels // self.groups
        return 2 * batch * self.out_height * self.out_width * self.out_channels * window


@dataclass(frozen=True)
class Dense:
    """A dense layer, (batch, inputs) x (inputs, units)."""

    name: str
    inputs: int
    units: int
    count: int = 1

    @property
    def shape(self) -> str:
        """In short."""
        return f"{self.inputs} -> {self.units}"

    def flops(self, batch: int) -> int:
        """Multiplications and additions."""
        return 2 * batch * self.inputs * self.units


@dataclass(frozen=True)
class Pooling:
    """A pooling layer by itself; `padding` cells on each side are never chosen."""

    name: str
    height: int
    width: int
    channels: int
    size: int
    strides: int
    padding: int = 0
    kind: Literal["max", "average"] = "max"
    count: int = 1

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return (self.height + 2 * self.padding - self.size) // self.strides + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return (self.width + 2 * self.padding - self.size) // self.strides + 1

    @property
    def shape(self) -> str:
        """In short."""
        sizes = f"{self.height}x{self.width}x{self.channels}"
        return f"{sizes}, {self.size}x{self.size}, strides {self.strides}"

    def flops(self, batch: int) -> int:  # noqa: ARG002 - as the others have it
        """None: it compares and moves."""
        return 0


Layer: TypeAlias = Conv | Dense | Pooling


class ModelShape(NamedTuple):
    """What a network of `fastconv.networks` is built for."""

    input_shape: tuple[int, int, int]
    classes: int = 10


CONVS = (
    Conv("mnist-conv1", 28, 28, 1, 32, pool=Pool(2, 2)),
    Conv("mnist-conv2", 13, 13, 32, 64, pool=Pool(2, 2)),
    Conv("cifar-conv1", 32, 32, 3, 32, pool=Pool(2, 2)),
    Conv("fashion-conv2", 13, 13, 64, 64, pool=Pool(2, 2)),
    Conv("mnist-5x5", 28, 28, 1, 32, kernel_size=5, pool=Pool(2, 2)),
)

DENSES = (Dense("mnist-output", 1600, 10), Dense("fashion-hidden", 1600, 128))

SQUARES = (512, 1024)

MODELS = {
    name: ModelShape((32, 32, 3) if name == "m4" else (28, 28, 1)) for name in networks.NETWORKS
}
"""m4 is the network for CIFAR-10; the others are for MNIST and Fashion-MNIST."""
