"""Winograd by parts of a kernel: values, bounds, choice, and what is not finite."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, ops
from support.arrays import DTYPES, MAGNITUDE, assert_equal, assert_same_bits, reals
from support.bounds import assert_within_bound, winograd_few_terms
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
from support.winograd_parts import (
    depth,
    input_magnitude,
    kernel_magnitude,
    magnitude,
    most_products_of_an_input,
)

# Served by levels with 32 registers.
CASES = (
    ConvCase("resnet", (2, 64, 62, 3), (7, 7, 3, 64), strides=2, padding=3),
    ConvCase("alexnet", (2, 43, 131, 3), (11, 11, 3, 64), strides=4, padding=2),
    ConvCase("unit_stride", (1, 16, 31, 3), (5, 5, 3, 64), padding=2),
    ConvCase("odd_outputs", (2, 41, 65, 4), (6, 6, 4, 64), strides=2, padding=1),
    ConvCase("two_axes", (2, 30, 65, 2), (7, 5, 2, 96), strides=(2, 1), padding=((0, 3), (2, 1))),
    ConvCase("four_taps", (2, 20, 64, 4), (4, 8, 4, 64), padding=((5, 6), (0, 3))),
    ConvCase("wide_row", (1, 12, 301, 3), (7, 7, 3, 64), strides=2, padding=3),
    ConvCase("runs_in_the_left_padding", (1, 6, 30, 3), (5, 5, 3, 64), padding=((0, 0), (90, 0))),
    ConvCase("runs_in_the_right_padding", (1, 6, 30, 3), (5, 5, 3, 64), padding=((0, 0), (0, 90))),
    ConvCase("all_padding", (1, 20, 30, 3), (7, 7, 3, 64), strides=2, padding=((9, 20), (200, 77))),
)
# The direct sum is faster, or the only way.
OTHERS = (
    ConvCase("unequal_strides", (1, 64, 64, 3), (3, 3, 3, 32), strides=(2, 1), padding=1),
    ConvCase("patches", (1, 64, 64, 3), (8, 8, 3, 64), strides=8),
    ConvCase("narrow", (8, 9, 9, 3), (7, 7, 3, 64), strides=2, padding=3),
    ConvCase("few_filters", (2, 64, 64, 3), (7, 7, 3, 8), strides=2, padding=3),
    ConvCase("filters_left_over", (2, 64, 64, 3), (7, 7, 3, 65), strides=2, padding=3),
    ConvCase("many_channels", (1, 32, 64, 5), (7, 7, 5, 64), strides=2, padding=3),
    ConvCase("dilation", (1, 64, 64, 3), (7, 7, 3, 64), dilation_rate=2),
    ConvCase("groups", (1, 32, 64, 4), (7, 7, 2, 128), groups=2),
)
# Served by all levels.
KERNEL_GRADIENTS = (
    *CASES[:2],
    ConvCase("odd_outputs", (2, 41, 65, 4), (6, 6, 4, 64), strides=2, padding=1),
    ConvCase("unit_stride", (2, 32, 31, 3), (7, 7, 3, 64), padding=3),
)
INPUT_GRADIENTS = (
    *KERNEL_GRADIENTS,
    ConvCase("wide_row", (1, 12, 301, 3), (7, 7, 3, 64), strides=2, padding=3),
    ConvCase("left_over", (1, 46, 67, 3), (11, 11, 3, 64), strides=4, padding=((1, 2), (3, 0))),
    ConvCase("many_rows", (1, 65, 63, 4), (7, 7, 4, 64), strides=(1, 2), padding=((5, 6), (0, 3))),
    ConvCase("one_part", (3, 32, 32, 3), (3, 3, 3, 32)),
    ConvCase("one_part_of_one_channel", (3, 28, 28, 1), (3, 3, 1, 32)),
    ConvCase("one_part_of_two", (2, 21, 24, 2), (3, 3, 2, 16), padding=1),
    ConvCase("one_part_of_four", (1, 19, 43, 4), (3, 3, 4, 48), padding=((2, 0), (1, 2))),
    ConvCase("one_part_in_a_wide_row", (1, 3, 421, 3), (3, 3, 3, 64), padding=1),
)
# Served by levels with 32 registers.
STRIDED_INPUT_GRADIENTS = (
    ConvCase("mobilenet", (1, 130, 130, 3), (3, 3, 3, 32), strides=2, padding=1),
    ConvCase("strided_one_channel", (2, 131, 129, 1), (3, 3, 1, 16), strides=2),
    ConvCase("strided_two", (1, 132, 131, 2), (3, 3, 2, 32), strides=2, padding=((2, 0), (1, 2))),
    ConvCase("strided_four", (1, 129, 140, 4), (3, 3, 4, 32), strides=2, padding=((0, 1), (0, 1))),
)
cases = pytest.mark.parametrize("case", CASES, ids=str)
kernel_cases = pytest.mark.parametrize("case", KERNEL_GRADIENTS, ids=str)
input_cases = pytest.mark.parametrize("case", INPUT_GRADIENTS + STRIDED_INPUT_GRADIENTS, ids=str)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
pytestmark = pytest.mark.usefixtures("isa")


def strides(case: ConvCase) -> tuple[int, int]:
    """Of rows and columns."""
    both = case.options.get("strides", 1)
    return (both, both) if isinstance(both, int) else both


@dtypes
@cases
def test_integers_are_exact(case: ConvCase, dtype: type, num_threads: int) -> None:
    data = convolution_data(case)
    x, kernel, bias = (array.astype(dtype) for array in (data.x, data.kernel, data.bias))
    y = ops.conv2d(x, kernel, bias, activation="relu", num_threads=num_threads, **case.options)
    assert_equal(y, data.y_with_bias_and_relu.astype(dtype))


@dtypes
@cases
def test_real_values_are_within_the_bound(case: ConvCase, dtype: type) -> None:
    data = real_data(case)
    x, kernel, bias, _ = real_arrays(case, dtype)
    padded = np.pad(data.x, ((0, 0), *paddings(case), (0, 0)))
    y = ops.conv2d(x, kernel, bias, **case.options)
    size = magnitude(padded, data.kernel, strides(case), *data.y.shape[1:3]) + abs(data.bias)
    # As few channels, with the products of a position in their place.
    assert_within_bound(y, data.y, size, winograd_few_terms(depth(case.kernel, strides(case))))


@dtypes
@cases
def test_default_uses_it_and_strict_does_not(case: ConvCase, dtype: type, isa: str) -> None:
    """Winograd rounds differently: equal bits would mean that one ran twice."""
    data = real_data(case)
    x, kernel, bias, _ = real_arrays(case, dtype)
    y = ops.conv2d(x, kernel, bias, **case.options)
    with strict_precision():
        direct = ops.conv2d(x, kernel, bias, **case.options)
    assert_within_bound(direct, data.y, data.y_magnitude, case.terms)
    assert np.array_equal(y, direct) == (isa in {"avx2", "x86_64_v2"})


@dtypes
@kernel_cases
def test_kernel_gradient(case: ConvCase, dtype: type, num_threads: int) -> None:
    """Integers exactly, real values within the bound."""
    data = convolution_data(case)
    dkernel = gradient_of_kernel(data.x.astype(dtype), data.grad.astype(dtype), case, num_threads)
    # As test_winograd.py has it.
    assert tiles(case) * 4 * 4 * MAGNITUDE**2 * 4 * 4 <= 2**24
    assert_equal(dkernel, data.dkernel.astype(dtype))
    real = real_data(case)
    x, _, _, grad = real_arrays(case, dtype)
    dkernel = gradient_of_kernel(x, grad, case, num_threads)
    assert_same_bits(dkernel, gradient_of_kernel(x, grad, case))
    padded = np.pad(real.x, ((0, 0), *paddings(case), (0, 0)))
    size = kernel_magnitude(padded, real.grad, case.kernel, strides(case))
    # 4 additions in the transforms of tiles; one for each tile, at most 16 for chunks, and in
    # the transform back one for each product that a tap is in, fewer than a position's twice.
    terms = tiles(case) + 20 + 2 * depth(case.kernel, strides(case))
    assert_within_bound(dkernel, real.gradients.kernel, size, terms)
    with strict_precision():
        direct = gradient_of_kernel(x, grad, case)
    assert not np.array_equal(dkernel, direct)


@kernel_cases
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
    if value != 3e38:
        assert not np.isfinite(expected).all()
        assert_equal(dkernel, expected)
    assert np.isfinite(dkernel).all() == np.isfinite(expected).all()


@dtypes
@input_cases
def test_input_gradient(case: ConvCase, dtype: type, num_threads: int, isa: str) -> None:
    """Integers exactly, real values within the bound."""
    data = convolution_data(case)
    kernel, grad = (array.astype(dtype) for array in (data.kernel, data.grad))
    step = strides(case)
    inputs = [most_products_of_an_input(case.kernel[i], step[i]) for i in range(2)]
    # Quarters: up to 4 values of grad, weights up to 9 / 4, summed over filters and products.
    terms = 4 * 9 * case.kernel[3] * inputs[0] * inputs[1]
    assert MAGNITUDE**2 * terms <= 2**24
    dx = gradient_of_x(data.x.astype(dtype), kernel, grad, case, num_threads)
    assert_equal(dx, data.dx.astype(dtype))
    real = real_data(case)
    x, kernel, _, grad = real_arrays(case, dtype)
    dx = gradient_of_x(x, kernel, grad, case, num_threads)
    assert_same_bits(dx, gradient_of_x(x, kernel, grad, case))
    last = slice(len(x) - 1, None)
    assert_same_bits(gradient_of_x(x[last], kernel, grad[last], case), dx[last])
    size = input_magnitude(real.grad, real.kernel, step, paddings(case), *case.x[1:3])
    # 4 additions in the transform of weights, 2 in that of tiles, one for each filter, and back
    # one for each product along both axes and one to begin the rows with.
    terms = 4 + 2 + case.kernel[3] + sum(inputs) + 1
    assert_within_bound(dx, real.gradients.x, size, terms)
    with strict_precision():
        direct = gradient_of_x(x, kernel, grad, case)
    elsewhere = case in STRIDED_INPUT_GRADIENTS and isa in {"avx2", "x86_64_v2"}
    assert np.array_equal(dx, direct) == elsewhere


@input_cases
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("spoilt", ["kernel", "grad"])
def test_input_gradient_of_what_is_not_finite(case: ConvCase, value: float, spoilt: str) -> None:
    """It is the direct sum."""
    x, kernel, _, grad = real_arrays(case)
    array = {"kernel": kernel, "grad": grad}[spoilt]
    array[-1, array.shape[1] // 2, array.shape[2] // 2, -1] = value
    dx = gradient_of_x(x, kernel, grad, case)
    with strict_precision():
        expected = gradient_of_x(x, kernel, grad, case)
    if value != 3e38:
        assert not np.isfinite(expected).all()
        assert_equal(dx, expected)
    assert_equal(np.isfinite(dx), np.isfinite(expected))


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_direct_sums_elsewhere(case: ConvCase) -> None:
    x, kernel, bias, grad = real_arrays(case)
    y = ops.conv2d(x, kernel, bias, **case.options)
    dx = gradient_of_x(x, kernel, grad, case)
    with strict_precision():
        assert_same_bits(y, ops.conv2d(x, kernel, bias, **case.options))
        assert_same_bits(dx, gradient_of_x(x, kernel, grad, case))


@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_have_direct_input_gradients(channels: int) -> None:
    case = ConvCase("small", (4, 16, 16, channels), (3, 3, channels, 32), padding=1)
    x, kernel, _, grad = real_arrays(case)
    dx = gradient_of_x(x, kernel, grad, case)
    with strict_precision():
        assert_same_bits(dx, gradient_of_x(x, kernel, grad, case))


@dtypes
@cases
def test_bits_do_not_depend_on_threads_or_the_batch(case: ConvCase, dtype: type) -> None:
    x, kernel, bias, _ = real_arrays(case, dtype)
    y = ops.conv2d(x, kernel, bias, num_threads=1, **case.options)
    for count in (2, 3, 5):
        again = ops.conv2d(x, kernel, bias, num_threads=count, **case.options)
        assert_same_bits(again, y, f"{count} threads")
    last = slice(len(x) - 1, None)
    assert_same_bits(ops.conv2d(x[last], kernel, bias, **case.options), y[last])


@cases
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_goes_the_exact_way(case: ConvCase, value: float) -> None:
    assert_direct_where_not_finite(case, value)


def test_prediction_has_the_bits_of_the_operation(num_threads: int) -> None:
    """Also where a value is not finite."""
    kernel = reals(1, 7, 7, 3, 64).astype(np.float32)
    model = keras.Sequential(
        [keras.Input(shape=(64, 60, 3)), layers.Conv2D(64, 7, strides=2, use_bias=False)]
    )
    model.set_weights([kernel])
    x = reals(2, 3, 64, 60, 3).astype(np.float32)
    x[1, 30, 31, 2] = np.inf
    y = model.predict(x, verbose=0)
    assert_same_bits(y, ops.conv2d(x, kernel, strides=2, num_threads=num_threads))
