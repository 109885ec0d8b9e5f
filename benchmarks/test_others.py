"""Pooling, matrix products, and the passes that only move memory."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import _core, ops, reference
from fastconv.bench.workloads import CONVS, DENSES, SQUARES

BATCH = 128
convs = pytest.mark.parametrize("conv", CONVS[:2], ids=lambda conv: conv.name)
denses = pytest.mark.parametrize("dense", DENSES, ids=lambda dense: dense.name)


def activations(conv, rng):
    """What the pooling behind a convolution reads."""
    shape = (BATCH, conv.out_height, conv.out_width, conv.out_channels)
    return rng.standard_normal(shape, dtype=np.float32)


@convs
def test_max_pool2d(measure, rng, conv, num_threads):
    x = activations(conv, rng)
    measure(
        lambda: ops.max_pool2d(x, return_argmax=True, num_threads=num_threads)[0],
        num_threads=num_threads,
        expected=reference.max_pool2d(x),
    )


@convs
def test_max_pool2d_gradient(measure, rng, conv, num_threads):
    x = activations(conv, rng)
    y, argmax = reference.max_pool2d(x, return_argmax=True)
    measure(
        lambda: ops.max_pool2d_gradient(y, argmax, x.shape, num_threads=num_threads),
        num_threads=num_threads,
        expected=reference.max_pool2d_gradient(y, argmax, x.shape),
    )


@convs
def test_average_pool2d(measure, rng, conv, num_threads):
    x = activations(conv, rng)
    measure(
        lambda: ops.average_pool2d(x, num_threads=num_threads),
        num_threads=num_threads,
        expected=reference.average_pool2d(x),
    )


@convs
def test_average_pool2d_gradient(measure, rng, conv, num_threads):
    x = activations(conv, rng)
    grad = reference.average_pool2d(x)
    measure(
        lambda: ops.average_pool2d_gradient(grad, x.shape, num_threads=num_threads),
        num_threads=num_threads,
        expected=reference.average_pool2d_gradient(grad, x.shape),
    )


@pytest.mark.parametrize("size", SQUARES)
def test_matmul_square(measure, rng, size, num_threads):
    a, b = rng.standard_normal((2, size, size), dtype=np.float32)
    measure(
        lambda: ops.matmul(a, b, num_threads=num_threads),
        flops=2 * size**3,
        num_threads=num_threads,
        expected=a @ b,
    )


def test_tile(measure):
    """The tile that does most of the work, its factors in the first-level cache."""
    work = _core.multiply_tiles(1000, False)
    measure(lambda: _core.multiply_tiles(1000, False), flops=2 * work)


@denses
def test_dense_forward(measure, rng, dense, num_threads):
    x = rng.standard_normal((BATCH, dense.inputs), dtype=np.float32)
    w = rng.standard_normal((dense.inputs, dense.units), dtype=np.float32)
    measure(
        lambda: ops.matmul(x, w, num_threads=num_threads),
        flops=dense.flops(BATCH),
        num_threads=num_threads,
        expected=x @ w,
    )


@denses
def test_dense_input_gradient(measure, rng, dense, num_threads):
    grad = rng.standard_normal((BATCH, dense.units), dtype=np.float32)
    w = rng.standard_normal((dense.inputs, dense.units), dtype=np.float32)
    measure(
        lambda: ops.matmul(grad, w, transpose_b=True, num_threads=num_threads),
        flops=dense.flops(BATCH),
        num_threads=num_threads,
        expected=grad @ w.T,
    )


@denses
def test_dense_kernel_gradient(measure, rng, dense, num_threads):
    x = rng.standard_normal((BATCH, dense.inputs), dtype=np.float32)
    grad = rng.standard_normal((BATCH, dense.units), dtype=np.float32)
    measure(
        lambda: ops.matmul(x, grad, transpose_a=True, num_threads=num_threads),
        flops=dense.flops(BATCH),
        num_threads=num_threads,
        expected=x.T @ grad,
    )


def test_relu(measure, rng, num_threads):
    x = rng.standard_normal((BATCH, 26, 26, 32), dtype=np.float32)
    measure(
        lambda: ops.relu(x, num_threads=num_threads),
        num_threads=num_threads,
        expected=np.maximum(x, 0),
    )


def test_softmax_cross_entropy(measure, rng):
    logits = rng.standard_normal((BATCH, 10), dtype=np.float32)
    labels = rng.integers(0, 10, BATCH)
    measure(
        lambda: ops.softmax_cross_entropy(logits, labels)[1],
        expected=reference.softmax_cross_entropy(logits, labels)[1],
    )


def test_dropout(measure, rng, num_threads):
    x = rng.standard_normal((BATCH, 1600), dtype=np.float32)
    measure(
        lambda: ops.dropout(x, 0.5, seed=1, num_threads=num_threads),
        num_threads=num_threads,
        expected=reference.dropout(x, 0.5, seed=1),
    )
