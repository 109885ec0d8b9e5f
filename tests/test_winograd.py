"""Winograd F(2x2, 3x3) without pooling: values, bounds, choice, and what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, ops, reference
from support.arrays import (
    DTYPES,
    MAGNITUDE,
    assert_equal,
    assert_same_bits,
    integers,
    reals,
)
from support.bounds import (
    assert_within_bound,
    winograd_kernel_magnitude,
    winograd_magnitude,
)
from support.cases import ConvCase
from support.data import convolution_data, real_data
from support.precision import strict_precision
from support.winograd import (
    assert_direct_where_not_finite,
    gradient_of_kernel,
    gradient_of_x,
    paddings,
    real_arrays,
    tiles,
)

# Served on every level: whole vectors of channels, tiles that are mostly used.
CASES = (
    ConvCase("odd", (3, 15, 17, 32), (3, 3, 32, 64)),
    ConvCase("same", (2, 14, 12, 16), (3, 3, 16, 32), padding="same"),
    ConvCase("even_in_one_axis", (2, 9, 18, 48), (3, 3, 48, 80), padding="same"),
    ConvCase("pad_asymmetric", (2, 11, 12, 32), (3, 3, 32, 32), padding=((0, 2), (2, 1))),
    ConvCase("pad_full", (2, 10, 12, 32), (3, 3, 32, 32), padding=2),
    ConvCase("few_tiles_many_columns", (6, 4, 4, 128), (3, 3, 128, 256), padding="same"),
    # An image alone has so few tiles that its weights are transformed where they are used.
    ConvCase("one_image_many_weights", (4, 7, 7, 208), (3, 3, 208, 272), padding="same"),
    ConvCase("many_channels_few_filters", (3, 14, 12, 128), (3, 3, 128, 16), padding="same"),
    ConvCase("wide_row", (1, 4, 140, 16), (3, 3, 16, 32), padding="same"),
    ConvCase("many_blocks", (1, 31, 33, 64), (3, 3, 64, 48), padding="same"),
    ConvCase("groups", (2, 14, 12, 64), (3, 3, 32, 64), padding="same", groups=2),
    ConvCase("wide_groups", (1, 9, 12, 96), (3, 3, 32, 480), padding="same", groups=3),
    # In parts of at most 3x3.
    ConvCase("5x5", (2, 14, 12, 32), (5, 5, 32, 64), padding="same"),
    ConvCase("5x5_groups", (3, 13, 12, 64), (5, 5, 32, 96), padding=2, groups=2),
    ConvCase("5x5_one_image", (1, 10, 10, 112), (5, 5, 112, 144), padding="same"),
    ConvCase("3x6", (2, 10, 13, 32), (3, 6, 32, 48), padding=((1, 1), (3, 2))),
    ConvCase("6x7", (2, 16, 16, 48), (6, 7, 48, 64), padding="same"),
)
# The direct sum is faster, or the only way.
OTHERS = (
    ConvCase("channels_left_over", (2, 14, 12, 33), (3, 3, 33, 32), padding="same"),
    ConvCase("filters_left_over", (2, 14, 12, 32), (3, 3, 32, 35), padding="same"),
    ConvCase("one_output", (8, 3, 3, 64), (3, 3, 64, 64)),
    ConvCase("mostly_padding", (8, 1, 1, 64), (3, 3, 64, 64), padding="same"),
    ConvCase("stride", (2, 14, 12, 32), (3, 3, 32, 32), strides=(1, 2)),
    ConvCase("dilation", (2, 14, 12, 32), (3, 3, 32, 32), dilation_rate=(2, 1)),
    ConvCase("groups_left_over", (2, 14, 12, 66), (3, 3, 33, 64), groups=2),
    ConvCase("depthwise", (2, 14, 12, 64), (3, 3, 1, 64), groups=64),
    ConvCase("5x2", (2, 14, 12, 32), (5, 2, 32, 32)),
    ConvCase("4x4", (2, 14, 12, 16), (4, 4, 16, 16)),
    ConvCase("5x5_left_over", (2, 14, 12, 33), (5, 5, 33, 32), padding="same"),
)
cases = pytest.mark.parametrize("case", CASES, ids=str)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
pytestmark = pytest.mark.usefixtures("isa")

PADDED_BY_3 = ConvCase("pad_above_kernel", (2, 12, 12, 32), (3, 3, 32, 32), padding=3)


def all_three(
    x: Any, kernel: Any, bias: Any, grad: Any, case: ConvCase, num_threads: int = 1
) -> tuple[Any, Any, Any]:
    """The result and both gradients."""
    return (
        ops.conv2d(x, kernel, bias, num_threads=num_threads, **case.options),
        gradient_of_x(x, kernel, grad, case, num_threads),
        gradient_of_kernel(x, grad, case, num_threads),
    )


@dtypes
@pytest.mark.parametrize("case", [*CASES, PADDED_BY_3], ids=str)
def test_integers_are_exact(case: ConvCase, dtype: type, num_threads: int) -> None:
    data = convolution_data(case)
    x, kernel, bias, grad = (
        array.astype(dtype) for array in (data.x, data.kernel, data.bias, data.grad)
    )
    y = ops.conv2d(x, kernel, bias, activation="relu", num_threads=num_threads, **case.options)
    assert_equal(y, data.y_with_bias_and_relu.astype(dtype))
    dx = gradient_of_x(x, kernel, grad, case, num_threads)
    assert_equal(dx, data.dx.astype(dtype))
    # A tile has 4 terms and adds at most 4 * 4 * MAGNITUDE**2 to each of 16 sums; the result takes
    # 4 of them at most, with two fractional bits.
    assert tiles(case) * 4 * 4 * MAGNITUDE**2 * 4 * 4 <= 2**24
    dkernel = gradient_of_kernel(x, grad, case, num_threads)
    assert_equal(dkernel, data.dkernel.astype(dtype))


@dtypes
@cases
def test_real_values_are_within_the_bound(case: ConvCase, dtype: type) -> None:
    data = real_data(case)
    x, kernel, bias, grad = real_arrays(case, dtype)
    height, width = case.kernel[:2]
    parts = -(-height // 3) * -(-width // 3)
    channels, filters = parts * case.kernel[2], parts * case.kernel[3] // case.groups
    pad = paddings(case)

    def by_group(magnitude: Any, *arrays: Any) -> Any:
        """Of arrays whose last axis is that of all groups."""
        parts = zip(*(np.split(array, case.groups, axis=-1) for array in arrays), strict=True)
        return np.concatenate([magnitude(*part) for part in parts], axis=-1)

    padded = np.pad(data.x, ((0, 0), *pad, (0, 0)))
    dkernel = gradient_of_kernel(x, grad, case)
    magnitude = by_group(
        lambda x, grad: winograd_kernel_magnitude(x, grad, height, width), padded, data.grad
    )
    assert_within_bound(dkernel, data.gradients.kernel, magnitude, tiles(case) + 9)
    size = data.y.shape[1:3]
    magnitude = by_group(lambda x, w: winograd_magnitude(x, w, *size), padded, data.kernel)
    assert_within_bound(
        ops.conv2d(x, kernel, bias, **case.options),
        data.y,
        magnitude + abs(data.bias),
        channels + 10,
    )
    beyond = (
        (taps - 1 - before, taps - 1 - after)
        for taps, (before, after) in zip((height, width), pad, strict=True)
    )
    padded = np.pad(data.grad, ((0, 0), *beyond, (0, 0)))
    size = data.x.shape[1:3]
    magnitude = by_group(
        lambda g, w: winograd_magnitude(g, w[::-1, ::-1].swapaxes(2, 3), *size),
        padded,
        data.kernel,
    )
    assert_within_bound(
        gradient_of_x(x, kernel, grad, case), data.gradients.x, magnitude, filters + 10
    )


@dtypes
@cases
def test_default_uses_winograd_and_strict_does_not(case: ConvCase, dtype: type) -> None:
    """Winograd rounds differently: equal bits would mean that one ran twice."""
    data = real_data(case)
    x, kernel, bias, grad = real_arrays(case, dtype)
    results = all_three(x, kernel, bias, grad, case)
    with strict_precision():
        direct = all_three(x, kernel, bias, grad, case)
    wanted = data.y, data.gradients.x, data.gradients.kernel
    magnitudes = data.y_magnitude, data.gradient_magnitudes.x, data.gradient_magnitudes.kernel
    taps = case.kernel[0] * case.kernel[1]
    terms = case.terms, taps * case.kernel[3], data.y[..., 0].size
    for result, plain, *bound in zip(results, direct, wanted, magnitudes, terms, strict=True):
        assert_within_bound(plain, *bound)
        assert not np.array_equal(result, plain)


@dtypes
@pytest.mark.parametrize("taps", [3, 5])
def test_kernel_gradient_of_copied_slices_is_exact(taps: int, dtype: type) -> None:
    """Images beyond a megabyte, of both sides, with a last slice of channels that is narrower."""
    kernel_shape = (taps, taps, 240, 480)
    case = ConvCase("copied", (2, 17, 17, 480), kernel_shape, padding="same", groups=2)
    x, grad = integers(1, *case.x), integers(2, 2, 17, 17, 480)
    assert x.size * 4 > 1 << 20
    assert 2 * 9 * 9 * 4 * 4 * MAGNITUDE**2 * 4 * 4 <= 2**24
    kernel = np.zeros(case.kernel)
    wanted = reference.conv2d_gradients(x, kernel, grad, wrt=("kernel",), **case.options).kernel
    for count in (1, 2, 3):
        dkernel = gradient_of_kernel(x.astype(dtype), grad.astype(dtype), case, count)
        assert_equal(dkernel, wanted.astype(dtype))


@dtypes
def test_large_kernel_gradient_is_exact(dtype: type) -> None:
    """One of 9 MB, which goes past the caches."""
    case = ConvCase("large", (1, 8, 8, 1024), (3, 3, 1024, 256), padding="same")
    x, grad = integers(1, *case.x), integers(2, 1, 8, 8, 256)
    assert 4 * 4 * 4 * 4 * MAGNITUDE**2 * 4 * 4 <= 2**24
    kernel = np.zeros(case.kernel)
    wanted = reference.conv2d_gradients(x, kernel, grad, wrt=("kernel",), **case.options).kernel
    for count in (1, 2, 3):
        dkernel = gradient_of_kernel(x.astype(dtype), grad.astype(dtype), case, count)
        assert_equal(dkernel, wanted.astype(dtype))


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_direct_sums_elsewhere(case: ConvCase) -> None:
    x, kernel, bias, grad = real_arrays(case)
    results = all_three(x, kernel, bias, grad, case)
    with strict_precision():
        for result, plain in zip(results, all_three(x, kernel, bias, grad, case), strict=True):
            assert_same_bits(result, plain)


@dtypes
@cases
def test_bits_do_not_depend_on_threads_or_the_batch(case: ConvCase, dtype: type) -> None:
    x, kernel, bias, grad = real_arrays(case, dtype)
    y, dx, dkernel = all_three(x, kernel, bias, grad, case)
    for count in (2, 3, 5):
        again = all_three(x, kernel, bias, grad, case, count)
        for result, serial in zip(again, (y, dx, dkernel), strict=True):
            assert_same_bits(result, serial, f"{count} threads")
    last = slice(len(x) - 1, None)
    assert_same_bits(ops.conv2d(x[last], kernel, bias, **case.options), y[last])
    assert_same_bits(gradient_of_x(x[last], kernel, grad[last], case), dx[last])


@cases
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_goes_the_exact_way(case: ConvCase, value: float) -> None:
    assert_direct_where_not_finite(case, value)


@cases
def test_input_gradient_of_what_is_not_finite(case: ConvCase) -> None:
    data = convolution_data(case)
    kernel = np.where(data.kernel == 0, 1, data.kernel)
    grad, marks = data.grad.copy(), np.zeros_like(data.grad)
    grad[-1, 2, 1, 3], marks[-1, 2, 1, 3] = np.nan, 1
    clean = reference.conv2d_gradients(data.x, kernel, data.grad, wrt=("x",), **case.options).x
    reached = reference.conv2d_gradients(data.x, abs(kernel), marks, wrt=("x",), **case.options).x
    arrays = (array.astype(np.float32) for array in (data.x, kernel, grad))
    dx = gradient_of_x(*arrays, case)
    assert_equal(dx, np.where(reached > 0, np.nan, clean).astype(np.float32))


@cases
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("spoilt", ["x", "grad"])
def test_kernel_gradient_of_what_is_not_finite(case: ConvCase, value: float, spoilt: str) -> None:
    """It is the direct sum."""
    x, _, _, grad = real_arrays(case)
    {"x": x, "grad": grad}[spoilt][-1, 2, 1, 3] = value
    dkernel = gradient_of_kernel(x, grad, case)
    with strict_precision():
        expected = gradient_of_kernel(x, grad, case)
    assert np.isfinite(expected).all() == (value == 3e38)
    if value == 3e38:
        assert_same_bits(dkernel, expected)
    assert_equal(dkernel, expected)


def test_prediction_has_the_bits_of_the_operation(num_threads: int) -> None:
    """Also where a value is not finite."""
    kernel = reals(1, 3, 3, 32, 64).astype(np.float32)
    model = keras.Sequential(
        [keras.Input(shape=(15, 13, 32)), layers.Conv2D(64, 3, padding="same", use_bias=False)]
    )
    model.set_weights([kernel])
    with keras.config.num_threads(num_threads):
        for batch in (1, 2, 9):
            x = reals(batch, batch, 15, 13, 32).astype(np.float32)
            for value in (x[-1, 7, 7, 7], np.nan):
                x[-1, 7, 7, 7] = value
                expected = ops.conv2d(x, kernel, padding="same")
                assert_same_bits(np.asarray(model(x)), expected)
