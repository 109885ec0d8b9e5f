"""Convolution, ReLU and 2x2 max pooling as a model trains them, fused and as single operations.

The gradient behind the pool is zero for two windows of three, as dropout of a half and ReLU make
it. GFLOP/s count the dense rule, so that more than 100 % of the peak is work left out.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import _core, layers, ops
from fastconv.bench.workloads import CONVS
from fastconv.models.fused_pool import Conv2DMaxPooling2D

BATCH = 128
SERVED = [conv for conv in CONVS if conv.kernel_size == 3]


@pytest.fixture(params=SERVED, ids=lambda conv: conv.name)
def step(request, rng):
    """(Conv, images, kernel, bias, the fused step)."""
    conv = request.param
    image_shape = (conv.height, conv.width, conv.in_channels)
    layer = layers.Conv2D(conv.out_channels, conv.kernel_size, activation="relu")
    layer.build((None, *image_shape))
    layer.bias.value[...] = rng.normal(0, 0.1, conv.out_channels)
    fused = Conv2DMaxPooling2D(layer, layers.MaxPooling2D(2))
    assert fused.has_codes
    x = rng.standard_normal((BATCH, *image_shape), dtype=np.float32)
    return conv, x, layer.kernel.value, layer.bias.value, fused


def plain_forward(x, kernel, bias, num_threads):
    """(convolution behind ReLU, maxima, argmax)."""
    y = ops.conv2d(x, kernel, bias, activation="relu", num_threads=num_threads)
    return y, *ops.max_pool2d(y, 2, return_argmax=True, num_threads=num_threads)


@pytest.mark.parametrize("method", ["fused", "plain"])
def test_forward(measure, step, method, num_threads):
    conv, x, kernel, bias, fused = step
    expected = plain_forward(x, kernel, bias, 1)[1]
    windows = fused.windows_of(x.shape[1:])
    y = _core.empty(expected.shape, x.dtype)
    codes = _core.empty(expected.shape, np.dtype(np.uint8))

    def call():
        if method == "plain":
            return plain_forward(x, kernel, bias, num_threads)[1]
        _core.conv2d_max_pool2d(
            x, kernel, bias, y, codes, windows.conv, windows.pool, True, num_threads
        )
        return y

    measure(call, flops=conv.flops(BATCH), num_threads=num_threads, expected=expected)


@pytest.mark.parametrize("wrt", ["kernel", "x"])
@pytest.mark.parametrize("method", ["fused", "plain"])
def test_gradient(measure, rng, step, method, wrt, num_threads):
    conv, x, kernel, bias, fused = step
    windows = fused.windows_of(x.shape[1:])
    before, maxima, argmax = plain_forward(x, kernel, bias, 1)
    pooled, (_, codes, _) = fused.forward(x, training=True)
    grad = rng.standard_normal(maxima.shape, dtype=np.float32)
    grad *= rng.random(maxima.shape) < 1 / 3
    dx = np.empty_like(x) if wrt == "x" else None
    dkernel = np.empty_like(kernel) if wrt == "kernel" else None

    def plain(threads):
        dense = ops.max_pool2d_gradient(grad, argmax, before.shape, num_threads=threads)
        dense = ops.relu_gradient(dense, before, num_threads=threads)
        return getattr(ops.conv2d_gradients(x, kernel, dense, wrt=(wrt,), num_threads=threads), wrt)

    def call():
        if method == "plain":
            return plain(num_threads)
        _core.conv2d_max_pool2d_gradients(
            x,
            kernel,
            grad,
            codes,
            pooled,
            dx,
            dkernel,
            None,
            windows.conv,
            windows.pool,
            True,
            num_threads,
        )
        return dx if wrt == "x" else dkernel

    measure(call, flops=conv.flops(BATCH), num_threads=num_threads, expected=plain(1))
