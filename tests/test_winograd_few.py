"""Winograd F(2x2, 3x3) of few input channels: values, bounds, choice, and what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, ops
from support.arrays import DTYPES, MAGNITUDE, assert_equal, assert_same_bits, integers, reals
from support.bounds import (
    assert_within_bound,
    winograd_few_terms,
    winograd_kernel_magnitude,
    winograd_magnitude,
)
from support.cases import ConvCase
from support.data import convolution_data, real_data
from support.precision import strict_precision
from support.winograd import (
    assert_direct_where_not_finite,
    gradient_of_kernel,
    paddings,
    real_arrays,
    tiles,
)

# Served on every level: filters in whole vectors, enough of them, rows of some length.
CASES = (
    ConvCase("mnist", (3, 28, 28, 1), (3, 3, 1, 32)),
    ConvCase("odd", (2, 19, 21, 1), (3, 3, 1, 64)),
    ConvCase("even_in_one_axis", (2, 15, 18, 2), (3, 3, 2, 96), padding="same"),
    ConvCase("cifar", (2, 32, 32, 3), (3, 3, 3, 32), padding="same"),
    ConvCase("pad_asymmetric", (2, 18, 21, 3), (3, 3, 3, 96), padding=((0, 2), (2, 1))),
    ConvCase("pad_full", (2, 20, 22, 4), (3, 3, 4, 96), padding=2),
    ConvCase("wide_row", (1, 10, 141, 3), (3, 3, 3, 80), padding="same"),
)
# The direct sum is faster, or the only way.
OTHERS = (
    ConvCase("one_output", (8, 3, 3, 3), (3, 3, 3, 32)),
    ConvCase("one_pixel", (5, 1, 1, 2), (3, 3, 2, 16), padding="same"),
    ConvCase("pad_above_kernel", (2, 12, 12, 1), (3, 3, 1, 32), padding=3),
    ConvCase("filters_left_over", (2, 14, 12, 3), (3, 3, 3, 35), padding="same"),
    ConvCase("stride", (2, 14, 12, 3), (3, 3, 3, 32), strides=(1, 2)),
    ConvCase("dilation", (2, 14, 12, 1), (3, 3, 1, 32), dilation_rate=(2, 1)),
    ConvCase("groups", (2, 14, 12, 4), (3, 3, 2, 32), groups=2),
    ConvCase("5x3", (2, 14, 12, 3), (5, 3, 3, 32)),
)
cases = pytest.mark.parametrize("case", CASES, ids=str)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
pytestmark = pytest.mark.usefixtures("isa")


def both(
    x: Any, kernel: Any, bias: Any, grad: Any, case: ConvCase, num_threads: int = 1
) -> tuple[Any, Any]:
    """The result and the kernel gradient."""
    y = ops.conv2d(x, kernel, bias, num_threads=num_threads, **case.options)
    return y, gradient_of_kernel(x, grad, case, num_threads)


@dtypes
@cases
def test_integers_are_exact(case: ConvCase, dtype: type, num_threads: int) -> None:
    data = convolution_data(case)
    x, kernel, bias, grad = (
        array.astype(dtype) for array in (data.x, data.kernel, data.bias, data.grad)
    )
    y = ops.conv2d(x, kernel, bias, activation="relu", num_threads=num_threads, **case.options)
    assert_equal(y, data.y_with_bias_and_relu.astype(dtype))
    # As test_winograd.py has it.
    assert tiles(case) * 4 * 4 * MAGNITUDE**2 * 4 * 4 <= 2**24
    dkernel = gradient_of_kernel(x, grad, case, num_threads)
    assert_equal(dkernel, data.dkernel.astype(dtype))


@dtypes
@cases
def test_real_values_are_within_the_bound(case: ConvCase, dtype: type) -> None:
    data = real_data(case)
    padded = np.pad(data.x, ((0, 0), *paddings(case), (0, 0)))
    y, dkernel = both(*real_arrays(case, dtype), case)
    magnitude = winograd_kernel_magnitude(padded, data.grad)
    assert_within_bound(dkernel, data.gradients.kernel, magnitude, tiles(case) + 9)
    magnitude = winograd_magnitude(padded, data.kernel, *data.y.shape[1:3]) + abs(data.bias)
    assert_within_bound(y, data.y, magnitude, winograd_few_terms(case.kernel[2]))


@dtypes
@cases
def test_default_uses_winograd_and_strict_does_not(case: ConvCase, dtype: type, isa: str) -> None:
    """Winograd rounds differently: equal bits would mean that one ran twice."""
    data = real_data(case)
    arrays = real_arrays(case, dtype)
    results = both(*arrays, case)
    with strict_precision():
        direct = both(*arrays, case)
    wanted = data.y, data.gradients.kernel
    magnitudes = data.y_magnitude, data.gradient_magnitudes.kernel
    terms = case.terms, data.y[..., 0].size
    # With AVX2 the direct sum over more than one channel is as fast.
    same = isa == "avx2" and case.kernel[2] > 1, False
    for result, plain, equal, *bound in zip(
        results, direct, same, wanted, magnitudes, terms, strict=True
    ):
        assert_within_bound(plain, *bound)
        assert np.array_equal(result, plain) == equal


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_direct_sums_elsewhere(case: ConvCase) -> None:
    arrays = real_arrays(case)
    results = both(*arrays, case)
    with strict_precision():
        for result, plain in zip(results, both(*arrays, case), strict=True):
            assert_same_bits(result, plain)


@dtypes
@cases
def test_bits_do_not_depend_on_threads_or_the_batch(case: ConvCase, dtype: type) -> None:
    x, kernel, bias, grad = real_arrays(case, dtype)
    y, dkernel = both(x, kernel, bias, grad, case)
    for count in (2, 3, 5):
        for result, serial in zip(
            both(x, kernel, bias, grad, case, count), (y, dkernel), strict=True
        ):
            assert_same_bits(result, serial, f"{count} threads")
    last = slice(len(x) - 1, None)
    assert_same_bits(ops.conv2d(x[last], kernel, bias, **case.options), y[last])


@cases
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_goes_the_exact_way(case: ConvCase, value: float) -> None:
    assert_direct_where_not_finite(case, value)


def test_more_threads_after_what_is_not_finite() -> None:
    # In NCHW two threads try two bands of the image, then more of them its rows.
    x, kernel = integers(1, 1, 3, 46, 46), integers(2, 3, 3, 3, 64)
    x[0, 1, 20, 20] = np.nan
    for dtype in DTYPES:
        arrays = x.astype(dtype), kernel.astype(dtype)
        results = [
            ops.conv2d(*arrays, data_format="channels_first", num_threads=count)
            for count in (1, 16, 2, 16, 3, 16)
        ]
        for result in results[1:]:
            assert_same_bits(result, results[0])


@cases
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("spoilt", ["x", "grad"])
def test_kernel_gradient_of_what_is_not_finite(case: ConvCase, value: float, spoilt: str) -> None:
    """It is the direct sum."""
    x, _, _, grad = real_arrays(case)
    array = {"x": x, "grad": grad}[spoilt]
    array[-1, array.shape[1] // 2, array.shape[2] // 2, -1] = value
    dkernel = gradient_of_kernel(x, grad, case)
    with strict_precision():
        expected = gradient_of_kernel(x, grad, case)
    assert np.isfinite(expected).all() == (value == 3e38)
    if value == 3e38:
        assert_same_bits(dkernel, expected)
    assert_equal(dkernel, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_prediction_has_the_bits_of_the_operation(channels: int, num_threads: int) -> None:
    """Also where a value is not finite."""
    kernel = reals(1, 3, 3, channels, 64).astype(np.float32)
    model = keras.Sequential(
        [
            keras.Input(shape=(19, 23, channels)),
            layers.Conv2D(64, 3, padding="same", use_bias=False),
        ]
    )
    model.set_weights([kernel])
    with keras.config.num_threads(num_threads):
        for batch in (1, 2, 9):
            x = reals(batch, batch, 19, 23, channels).astype(np.float32)
            for value in (x[-1, 7, 7, 0], np.nan):
                x[-1, 7, 7, 0] = value
                expected = ops.conv2d(x, kernel, padding="same")
                assert_same_bits(np.asarray(model(x)), expected)
