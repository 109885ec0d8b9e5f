"""NCHW arrays give the bits of NHWC ones, whichever way each convolution takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import ops
from support.arrays import DTYPES, Guarded, assert_equal, guarded_copy, in_format, integers
from support.cases import ConvCase

FIRST = "channels_first"
# Some are products of matrices, others go by bands, by taps, or are converted as a whole.
CASES = (
    ConvCase("pointwise", (3, 16, 12, 40), (1, 1, 40, 72)),
    ConvCase("pointwise_tail", (2, 13, 15, 33), (1, 1, 33, 70)),
    ConvCase("pointwise_strided", (2, 32, 40, 24), (1, 1, 24, 40), strides=(2, 2)),
    ConvCase("pointwise_strided_3", (2, 30, 47, 20), (1, 1, 20, 18), strides=(1, 3)),
    ConvCase("pointwise_deep", (1, 16, 16, 1100), (1, 1, 1100, 24)),
    ConvCase("pointwise_few_pixels", (5, 3, 3, 40), (1, 1, 40, 520)),
    ConvCase("one_pixel", (5, 1, 1, 40), (1, 1, 40, 33)),
    ConvCase("one_channel", (4, 40, 33, 1), (3, 3, 1, 32), padding=1),
    ConvCase("three_channels", (3, 40, 33, 3), (3, 3, 3, 40), padding=1),
    ConvCase("three_channels_strided", (2, 61, 70, 3), (7, 7, 3, 64), strides=2, padding=3),
    ConvCase("two_strides", (2, 40, 41, 2), (5, 4, 2, 24), strides=(3, 2), padding=2),
    ConvCase("winograd", (2, 24, 20, 32), (3, 3, 32, 48), padding=1),
    ConvCase("grouped", (2, 20, 24, 24), (3, 3, 8, 36), groups=3, padding=1),
    ConvCase("depthwise", (2, 20, 24, 33), (3, 3, 1, 33), groups=33, padding=1),
)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward(case: ConvCase, dtype: type, num_threads: int) -> None:
    x, kernel = integers(0, *case.x).astype(dtype), integers(1, *case.kernel).astype(dtype)
    planar = guarded_copy(in_format(x, FIRST))
    for bias in (None, integers(2, case.kernel[3]).astype(dtype)):
        for activation in (None, "relu"):
            options: dict[str, Any] = {"activation": activation, **case.options}
            expected = in_format(ops.conv2d(x, kernel, bias, **options), FIRST)
            assert np.count_nonzero(expected) > expected.size / 4
            out = Guarded(expected.shape, dtype)
            options |= {"data_format": FIRST, "out": out.array, "num_threads": num_threads}
            assert_equal(ops.conv2d(planar.array, kernel, bias, **options), expected)
            out.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients(case: ConvCase, dtype: type, num_threads: int) -> None:
    x, kernel = integers(0, *case.x).astype(dtype), integers(1, *case.kernel).astype(dtype)
    grad = integers(2, *ops.conv2d(x, kernel, **case.options).shape).astype(dtype)
    expected = ops.conv2d_gradients(x, kernel, grad, **case.options)
    options: dict[str, Any] = {"data_format": FIRST, "num_threads": num_threads, **case.options}
    arguments = (guarded_copy(in_format(x, FIRST)), kernel, guarded_copy(in_format(grad, FIRST)))
    gradients = ops.conv2d_gradients(arguments[0].array, kernel, arguments[2].array, **options)
    assert expected.x is not None
    assert_equal(gradients.x, in_format(expected.x, FIRST))
    assert_equal(gradients.kernel, expected.kernel)
    assert_equal(gradients.bias, expected.bias)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_transposed_with_bias(dtype: type, num_threads: int) -> None:
    for channels, filters in ((40, 24), (24, 3)):
        x = integers(0, 2, 16, 12, channels).astype(dtype)
        kernel = integers(1, 1, 1, filters, channels).astype(dtype)
        bias = integers(2, filters).astype(dtype)
        options: dict[str, Any] = {"strides": 1, "padding": "valid", "activation": "relu"}
        expected = in_format(ops.conv2d_transpose(x, kernel, bias, **options), FIRST)
        options |= {"data_format": FIRST, "num_threads": num_threads}
        y = ops.conv2d_transpose(in_format(x, FIRST), kernel, bias, **options)
        assert_equal(y, expected)
