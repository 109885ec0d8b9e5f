"""What an operation has to move, however it is computed."""

from __future__ import annotations

from typing import NamedTuple

from fastconv.bench.cases import Case
from fastconv.bench.layer_sets import find_layer
from fastconv.bench.workloads import Conv, Dense, Layer

__all__ = ["Traffic", "traffic"]

FLOAT, INDEX, CODE = 4, 8, 1
"""Bytes of a number, of the place of a maximum in its image, and of that in its window, which is
what models keep."""

MOVED: dict[str, tuple[str, str]] = {
    "forward": ("x kernel bias", "y"),
    "input-gradient": ("y kernel", "x"),
    "kernel-gradient": ("x y", "kernel"),
    "fused-forward": ("x kernel bias", "y codes"),
    "fused-input-gradient": ("y y codes kernel", "x"),
    "fused-kernel-gradient": ("y y codes x", "kernel"),
    "max-pool": ("x", "y indices"),
    "max-pool-gradient": ("y indices", "x"),
    "average-pool": ("x", "y"),
    "average-pool-gradient": ("y", "x"),
    "dense-forward": ("x kernel bias", "y"),
    "dense-input-gradient": ("y kernel", "x"),
    "dense-kernel-gradient": ("x y", "kernel"),
}
"""Operands and results of each operation. The gradient of a result has its shape, and stands for it
here; behind ReLU the result itself is read as well."""


class Traffic(NamedTuple):
    """Bytes of the operands, each read once, and of the results, each written once."""

    read: int
    written: int

    @property
    def moved(self) -> int:
        """Together."""
        return self.read + self.written


def traffic(case: Case) -> Traffic:
    """Of an operation."""
    layer = find_layer(case.subject)
    numbers = _numbers(layer, case.batch, fused=case.operation.startswith("fused"))
    widths = {"indices": INDEX, "codes": CODE}
    numbers["indices"] = numbers["codes"] = numbers["y"]

    def size(names: str) -> int:
        return sum(numbers[name] * widths.get(name, FLOAT) for name in names.split())

    return Traffic(*map(size, MOVED[case.operation]))


def _numbers(layer: Layer, batch: int, *, fused: bool) -> dict[str, int]:
    """Elements of each array; `fused`: y is that of the pooling behind the convolution."""
    if isinstance(layer, Dense):
        inputs, units = layer.inputs, layer.units
        return {"x": batch * inputs, "kernel": inputs * units, "bias": units, "y": batch * units}
    height, width, kernel, bias = layer.out_height, layer.out_width, 0, 0
    if isinstance(layer, Conv):
        channels, out_channels = layer.in_channels, layer.out_channels
        kernel = layer.kernel_size**2 * channels // layer.groups * out_channels
        bias = out_channels
        if fused and layer.pool is not None:
            size, strides = layer.pool
            height, width = ((extent - size) // strides + 1 for extent in (height, width))
    else:
        channels = out_channels = layer.channels
    return {
        "x": batch * layer.height * layer.width * channels,
        "kernel": kernel,
        "bias": bias,
        "y": batch * height * width * out_channels,
    }
