"""Inputs from fixed seeds: every process that asks gets the same arrays."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv.bench.workloads import Conv, Dense
from fastconv.datasets import mnist

__all__ = ["Batch", "Operands", "operands", "prediction_inputs", "training_batches"]

Float32Array: TypeAlias = npt.NDArray[np.float32]

SEED = 2
TRAINING_BATCHES = 16
PREDICTION_INPUTS = 4


class Batch(NamedTuple):
    """Images `(batch, height, width, channels)` from 0 to 1, and their labels."""

    x: Float32Array
    y: npt.NDArray[np.int64]


class Operands(NamedTuple):
    """What an operation works on; images as `(N, H, W, C)`, rows as `(N, inputs)`.

    Attributes:
        grad: the gradient of the result, where the operation is a gradient.
    """

    x: Float32Array
    kernel: Float32Array
    bias: Float32Array
    grad: Float32Array


def training_batches(input_shape: tuple[int, int, int], classes: int, batch: int) -> list[Batch]:
    """Some batches to train on in turn: digits where the shape is theirs, else noise."""
    x, y = _images(input_shape, classes, TRAINING_BATCHES * batch)
    starts = range(0, len(x), batch)
    return [Batch(x[start : start + batch], y[start : start + batch]) for start in starts]


def prediction_inputs(input_shape: tuple[int, int, int], batch: int) -> list[Float32Array]:
    """Some batches of images to predict in turn."""
    x, _ = _images(input_shape, 10, PREDICTION_INPUTS * batch)
    return [x[start : start + batch] for start in range(0, len(x), batch)]


def operands(operation: str, layer: Conv | Dense, batch: int, *, integers: bool) -> Operands:
    """Arrays for an operation of `cases.OPERATIONS`.

    Args:
        operation: decides what the gradient is of.
        layer: decides the shapes.
        batch: number of images or rows.
        integers: small ones, of which every sum is exact, so that results can be compared without
            a doubt about rounding; normally distributed numbers otherwise.
    """
    rng = np.random.default_rng(SEED)

    def array(*shape: int) -> Float32Array:
        if integers:
            return rng.integers(-3, 4, shape).astype(np.float32)
        return rng.standard_normal(shape, np.float32)

    if isinstance(layer, Dense):
        return Operands(
            array(batch, layer.inputs),
            array(layer.inputs, layer.units),
            array(layer.units),
            array(batch, layer.units),
        )
    k = layer.kernel_size
    out_size = (layer.out_height, layer.out_width)
    result: tuple[int, ...] = (batch, *out_size, layer.out_channels)
    x: tuple[int, ...] = (batch, layer.height, layer.width, layer.in_channels)
    if operation.startswith("max-pool"):
        x = result
    if operation.startswith(("max-pool", "fused")):
        assert layer.pool is not None
        size, strides = layer.pool
        pooled = ((extent - size) // strides + 1 for extent in out_size)
        result = (batch, *pooled, layer.out_channels)
    kernel = (k, k, layer.in_channels // layer.groups, layer.out_channels)
    return Operands(array(*x), array(*kernel), array(layer.out_channels), array(*result))


def _images(
    input_shape: tuple[int, int, int], classes: int, count: int
) -> tuple[Float32Array, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(SEED)
    if input_shape != (28, 28, 1):
        return rng.random((count, *input_shape), np.float32), rng.integers(0, classes, count)
    (digits, labels), _ = mnist.load_sample()
    chosen = np.resize(rng.permutation(len(digits)), count)
    x = digits[chosen, ..., np.newaxis].astype(np.float32) / np.float32(255)
    return x, labels[chosen].astype(np.int64)
