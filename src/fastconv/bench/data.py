"""Inputs from fixed seeds: every process that asks gets the same arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv.bench.workloads import Dense, Layer, Pool, Pooling
from fastconv.datasets import mnist

__all__ = [
    "Batch",
    "Operands",
    "OperandsMaker",
    "operands",
    "prediction_inputs",
    "training_batches",
]

Float32Array: TypeAlias = npt.NDArray[np.float32]

SEED = 2
DEAD_BIAS = NormalDist().inv_cdf(0.3**0.25)
"""Standard deviations of a convolution by which its bias lies below 0 where ReLU and a 2x2 pool
follow: ReLU then cuts off 30 % of the windows, if outputs were independent. In M1's second pool it
is 35 % at the start and 49 % after 500 steps, and dropout takes every second gradient besides; with
a bias of 0 it would be 6 %, as in no network."""
TRAINING_BATCHES = 16
PREDICTION_INPUTS = 4


class Batch(NamedTuple):
    """Images `(batch, height, width, channels)` from 0 to 1, and their labels."""

    x: Float32Array
    y: npt.NDArray[np.int64]


class Operands(NamedTuple):
    """What an operation works on; images as `(N, H, W, C)`, rows as `(N, inputs)`.

    Attributes:
        grad: of the result, what gradients start from.
    """

    x: Float32Array
    kernel: Float32Array
    bias: Float32Array
    grad: Float32Array


OperandsMaker: TypeAlias = Callable[[], Operands]
"""Makes the operands when they are wanted: it takes time, and not every mode does every case."""


def training_batches(input_shape: tuple[int, int, int], classes: int, batch: int) -> list[Batch]:
    """Some batches to train on in turn: digits where the shape is theirs, else noise."""
    x, y = _images(input_shape, classes, TRAINING_BATCHES * batch)
    starts = range(0, len(x), batch)
    return [Batch(x[start : start + batch], y[start : start + batch]) for start in starts]


def prediction_inputs(input_shape: tuple[int, int, int], batch: int) -> list[Float32Array]:
    """Some batches of images to predict in turn."""
    x, _ = _images(input_shape, 10, PREDICTION_INPUTS * batch)
    return [x[start : start + batch] for start in range(0, len(x), batch)]


def operands(operation: str, layer: Layer, batch: int, *, integers: bool) -> Operands:
    """Arrays for an operation of `cases.OPERATIONS`.

    Args:
        operation: decides what the gradient is of.
        layer: decides the shapes.
        batch: number of images or rows.
        integers: small ones, of which every sum is exact, so that results can be compared without
            a doubt about rounding; normally distributed numbers otherwise.
    """
    pool = getattr(layer, "pool", None) if operation.startswith("fused") else None
    return _operands(layer, batch, pool, integers)


@lru_cache(maxsize=2)
def _operands(layer: Layer, batch: int, pool: Pool | None, integers: bool) -> Operands:
    """The same for operations in turn that take the same."""
    rng = np.random.default_rng(SEED)
    # Drawing numbers takes longer than a convolution: large arrays repeat them, with a prime for
    # the period, so that no size of an image is one.
    count = 1_000_003
    if integers:
        numbers = rng.integers(-3, 4, count).astype(np.float32)
    else:
        numbers = rng.standard_normal(count, np.float32)

    def array(*shape: int) -> Float32Array:
        start = int(rng.integers(count))
        return np.resize(np.roll(numbers, start), shape)

    if isinstance(layer, Dense):
        return Operands(
            array(batch, layer.inputs),
            array(layer.inputs, layer.units),
            array(layer.units),
            array(batch, layer.units),
        )
    height, width = layer.out_height, layer.out_width
    if isinstance(layer, Pooling):
        # It has no kernel.
        return Operands(
            array(batch, layer.height, layer.width, layer.channels),
            array(0),
            array(0),
            array(batch, height, width, layer.channels),
        )
    if pool is not None:
        height, width = ((extent - pool.size) // pool.strides + 1 for extent in (height, width))
    kernel_shape = (
        layer.kernel_size,
        layer.kernel_size,
        layer.in_channels // layer.groups,
        layer.out_channels,
    )
    bias = array(layer.out_channels)
    if pool is not None and not integers:
        bias = bias - np.float32(DEAD_BIAS * math.sqrt(math.prod(kernel_shape[:3])))
    return Operands(
        array(batch, layer.height, layer.width, layer.in_channels),
        array(*kernel_shape),
        bias,
        array(batch, height, width, layer.out_channels),
    )


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
