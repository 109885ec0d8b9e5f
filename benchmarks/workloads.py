"""The shapes that are measured, each named once: layers of the seeds' models, batch sizes."""

from __future__ import annotations

from dataclasses import dataclass

BATCHES = (1, 128)


@dataclass(frozen=True)
class Conv:
    """A convolution without padding, with `kernel_size` both ways and 2x2 pooling behind it."""

    name: str
    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel_size: int = 3

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return self.height - self.kernel_size + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return self.width - self.kernel_size + 1

    def flops(self, batch: int) -> int:
        """Multiplications and additions of the dense rule."""
        window = self.kernel_size**2 * self.in_channels
        return 2 * batch * self.out_height * self.out_width * self.out_channels * window


@dataclass(frozen=True)
class Dense:
    """A dense layer, (batch, inputs) x (inputs, units)."""

    name: str
    inputs: int
    units: int

    def flops(self, batch: int) -> int:
        """Multiplications and additions."""
        return 2 * batch * self.inputs * self.units


CONVS = (
    Conv("mnist-conv1", 28, 28, 1, 32),
    Conv("mnist-conv2", 13, 13, 32, 64),
    Conv("cifar-conv1", 32, 32, 3, 32),
    Conv("fashion-conv2", 13, 13, 64, 64),
    Conv("mnist-5x5", 28, 28, 1, 32, kernel_size=5),
)

DENSES = (Dense("mnist-output", 1600, 10), Dense("fashion-hidden", 1600, 128))

SQUARES = (512, 1024)
