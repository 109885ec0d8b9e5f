"""Convolution and its gradients, with and without pooling, beside the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import config, ops, reference
from fastconv.bench.workloads import BATCHES, CONVS, Conv

convs = pytest.mark.parametrize("conv", CONVS, ids=lambda conv: conv.name)
batches = pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"b{batch}")


def arrays(conv: Conv, batch: int, rng: np.random.Generator):
    """x, kernel, bias and an output gradient."""
    k = conv.kernel_size

    def normal(*shape: int):
        return rng.standard_normal(shape, dtype=np.float32)

    x = normal(batch, conv.height, conv.width, conv.in_channels)
    kernel = normal(k, k, conv.in_channels, conv.out_channels)
    grad = normal(batch, conv.out_height, conv.out_width, conv.out_channels)
    return x, kernel, normal(conv.out_channels), grad


@convs
@batches
def test_forward(measure, rng, conv, batch, num_threads):
    x, kernel, bias, _ = arrays(conv, batch, rng)
    measure(
        lambda: ops.conv2d(x, kernel, bias, activation="relu", num_threads=num_threads),
        flops=conv.flops(batch),
        num_threads=num_threads,
        expected=reference.conv2d(x, kernel, bias, activation="relu"),
    )


@convs
@batches
@pytest.mark.parametrize("wrt", ["x", "kernel"])
def test_gradient(measure, rng, conv, batch, num_threads, wrt):
    x, kernel, _, grad = arrays(conv, batch, rng)
    expected = reference.conv2d_gradients(x, kernel, grad, wrt=(wrt,))
    measure(
        lambda: getattr(
            ops.conv2d_gradients(x, kernel, grad, wrt=(wrt,), num_threads=num_threads), wrt
        ),
        flops=conv.flops(batch),
        num_threads=num_threads,
        expected=getattr(expected, wrt),
    )


# (batch, size, in_channels, out_channels), 3x3, padding "same": of VGG and ResNet; first layers.
WINOGRAD = [
    *[(8, 56, 64, 64), (8, 28, 128, 128), (8, 14, 512, 512), (1, 224, 64, 64)],
    *[(128, 28, 1, 32), (128, 32, 3, 32), (2, 224, 3, 64)],
]


@pytest.mark.parametrize("shape", WINOGRAD, ids=lambda shape: "b{}-{}x{}to{}".format(*shape))
@pytest.mark.parametrize("wrt", ["y", "x", "kernel"])
@pytest.mark.parametrize("precision", ["default", "strict", "fast"])
def test_winograd(measure, rng, shape, wrt, precision, num_threads):
    """Beside direct sums, which is what strict precision takes."""
    batch, size, channels, filters = shape
    x = rng.standard_normal((batch, size, size, channels), dtype=np.float32)
    kernel = rng.standard_normal((3, 3, channels, filters), dtype=np.float32)
    grad = rng.standard_normal((batch, size, size, filters), dtype=np.float32)

    def call():
        if wrt == "y":
            return ops.conv2d(x, kernel, padding="same", num_threads=num_threads)
        gradients = ops.conv2d_gradients(
            x, kernel, grad, padding="same", wrt=(wrt,), num_threads=num_threads
        )
        return getattr(gradients, wrt)

    before = config.get_precision()
    try:
        config.set_precision("strict")
        expected = call()
        config.set_precision(precision)
        measure(
            call,
            flops=2.0 * 9 * channels * grad.size,
            num_threads=num_threads,
            expected=expected,
        )
    finally:
        config.set_precision(before)


@convs
@batches
def test_fused_pool_forward(measure, rng, conv, batch, num_threads):
    x, kernel, bias, _ = arrays(conv, batch, rng)
    expected, _ = reference.conv2d_max_pool2d(x, kernel, bias, return_argmax=True)
    measure(
        lambda: ops.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, num_threads=num_threads)[
            0
        ],
        flops=conv.flops(batch),
        num_threads=num_threads,
        expected=expected,
    )


@convs
@batches
@pytest.mark.parametrize("wrt", ["x", "kernel"])
def test_fused_pool_gradient(measure, rng, conv, batch, num_threads, wrt):
    x, kernel, bias, _ = arrays(conv, batch, rng)
    y, argmax = reference.conv2d_max_pool2d(x, kernel, bias, return_argmax=True)
    grad = rng.standard_normal(y.shape, dtype=np.float32)
    expected = reference.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y, wrt=(wrt,))
    measure(
        lambda: getattr(
            ops.conv2d_max_pool2d_gradients(
                x, kernel, grad, argmax, y, wrt=(wrt,), num_threads=num_threads
            ),
            wrt,
        ),
        flops=conv.flops(batch),
        num_threads=num_threads,
        expected=getattr(expected, wrt),
    )


@convs
def test_numpy_reference(measure, rng, conv):
    x, kernel, bias, _ = arrays(conv, 128, rng)
    measure(
        lambda: reference.conv2d(x, kernel, bias, activation="relu"),
        flops=conv.flops(128),
        peak=False,
    )
