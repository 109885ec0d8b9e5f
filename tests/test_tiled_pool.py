"""Fused kernels for windows that tile the output, their codes, and gradients from codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import _core, ops, reference
from support.arrays import assert_equal, assert_mostly_nonzero, assert_same_bits, integers, reals
from support.bounds import assert_within_bound, winograd_few_terms, winograd_magnitude
from support.precision import strict_precision

CONV = (1, 1, 1, 1, 0, 0, 0, 0, 1)
POOL = (2, 2, 2, 2, 1, 1, 0, 0, 0, 0)
SAME = (1, 1, 1, 1, 1, 1, 1, 1, 1)
DEAD = 4

# (x, kernel): few channels, Winograd or direct; whole vectors of them, Winograd; else by bands.
SHAPES = {
    "m1_first": ((3, 28, 28, 1), (3, 3, 1, 32)),
    "m1_second": ((3, 13, 13, 32), (3, 3, 32, 64)),
    "three_channels": ((2, 9, 10, 3), (3, 3, 3, 16)),
    "two_channels_odd": ((2, 25, 27, 2), (3, 3, 2, 64)),
    "three_channels_wide": ((1, 20, 70, 3), (3, 3, 3, 64)),
    "four_channels": ((1, 24, 26, 4), (3, 3, 4, 80)),
    "five_by_five": ((2, 12, 12, 2), (5, 5, 2, 16)),
    "four_blocks": ((1, 6, 6, 16), (3, 3, 16, 256)),
    "tails": ((2, 8, 9, 17), (3, 3, 17, 19)),
    "tail_of_filters": ((2, 8, 8, 32), (3, 3, 32, 40)),
}
# (x, kernel) that Winograd serves, but for more than one of few channels with AVX2.
WINOGRAD = {
    "m1_first": ((3, 28, 28, 1), (3, 3, 1, 32)),
    "m1_second": ((3, 13, 13, 32), (3, 3, 32, 64)),
    "three_channels_wide": ((3, 20, 70, 3), (3, 3, 3, 64)),
}
pytestmark = pytest.mark.usefixtures("isa")
winograds = pytest.mark.parametrize(("x_shape", "kernel_shape"), WINOGRAD.values(), ids=WINOGRAD)
shapes = pytest.mark.parametrize(("x_shape", "kernel_shape"), SHAPES.values(), ids=SHAPES)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
reluses = pytest.mark.parametrize("relu", [True, False], ids=["relu", "linear"])


def floats(seed: int, *shape: int) -> Any:
    """Real values in float32."""
    return reals(seed, *shape).astype(np.float32)


def pooled_shape(x: Any, kernel: Any, geometry: Any) -> tuple[int, ...]:
    pad = sum(geometry[4:6])
    height, width = (size + pad - kernel.shape[0] + 1 for size in x.shape[1:3])
    return (len(x), height // 2, width // 2, kernel.shape[3])


def forward(x: Any, kernel: Any, bias: Any, geometry: Any, relu: bool, threads: int) -> Any:
    y = np.full(pooled_shape(x, kernel, geometry), np.nan, x.dtype)
    codes = np.full(y.shape, 255, np.uint8)
    _core.conv2d_max_pool2d(x, kernel, bias, y, codes, geometry, POOL, relu, threads)
    return y, codes


def expected_codes(x: Any, kernel: Any, bias: Any, padding: str, activation: Any) -> Any:
    """Results, and codes from the reference's argmax: the place in the window, 4 where cut off."""
    y, argmax = reference.conv2d_max_pool2d(
        x, kernel, bias, padding=padding, activation=activation, return_argmax=True
    )
    conv = reference.conv2d(x, kernel, bias, padding=padding)
    cell = argmax // conv.shape[3]
    codes = 2 * (cell // conv.shape[2] % 2) + cell % conv.shape[2] % 2
    if activation == "relu":
        codes = np.where(y > 0, codes, DEAD)
    return y, codes.astype(np.uint8)


@shapes
@dtypes
@reluses
@pytest.mark.parametrize(("geometry", "padding"), [(CONV, "valid"), (SAME, "same")])
def test_results_and_codes(
    x_shape: Any, kernel_shape: Any, dtype: Any, relu: bool, geometry: Any, padding: str
) -> None:
    if padding == "same" and kernel_shape[0] != 3:
        return
    x, kernel = integers(1, *x_shape).astype(dtype), integers(2, *kernel_shape).astype(dtype)
    bias = integers(3, kernel_shape[3]).astype(dtype)
    y_expected, codes_expected = expected_codes(x, kernel, bias, padding, "relu" if relu else None)
    for threads in (1, 2, 3):
        y, codes = forward(x, kernel, bias, geometry, relu, threads)
        assert_equal(y, y_expected)
        assert_equal(codes, codes_expected)


@shapes
@dtypes
@pytest.mark.parametrize("geometry", [CONV, SAME], ids=["valid", "same"])
def test_gradients_from_codes_are_those_of_the_dense_rule(
    x_shape: Any, kernel_shape: Any, dtype: Any, geometry: Any
) -> None:
    if geometry is SAME and kernel_shape[0] != 3:
        return
    x, kernel = integers(1, *x_shape).astype(dtype), integers(2, *kernel_shape).astype(dtype)
    y, codes = forward(x, kernel, None, geometry, True, 1)
    grad = integers(4, *y.shape).astype(dtype)
    assert (codes == DEAD).any()
    assert (grad == 0).any()

    # The dense rule: each gradient at its maximum, then the gradients of the convolution.
    padding = "same" if geometry is SAME else "valid"
    dense = np.zeros(reference.conv2d(x, kernel, padding=padding).shape, dtype)
    for code in range(4):
        view = dense[:, code // 2 :: 2, code % 2 :: 2]
        view = view[:, : y.shape[1], : y.shape[2]]
        view += np.where(codes == code, grad, 0)
    expected = reference.conv2d_gradients(x, kernel, dense, padding=padding)

    for threads in (1, 2, 3):
        dx, dkernel = np.full_like(x, np.nan), np.full_like(kernel, np.nan)
        dbias = np.full(kernel_shape[3], np.nan, dtype)
        _core.conv2d_max_pool2d_gradients(
            x, kernel, grad, codes, y, dx, dkernel, dbias, geometry, POOL, True, threads
        )
        assert_equal(dx, expected.x)
        assert_equal(dkernel, expected.kernel)
        assert_equal(dbias, expected.bias)
        assert_mostly_nonzero(dkernel)


def test_hostile_codes_stay_inside() -> None:
    """Codes are data: any byte is read as a place of its window."""
    x, kernel = floats(1, 2, 13, 13, 32), floats(2, 3, 3, 32, 64)
    y, _ = forward(x, kernel, None, CONV, True, 1)
    codes = np.random.default_rng(3).integers(0, 256, y.shape, np.uint8)
    dx, dkernel, dbias = np.empty_like(x), np.empty_like(kernel), np.empty(64, np.float32)
    arguments = (y, dx, dkernel, dbias, CONV, POOL, True, 2)
    _core.conv2d_max_pool2d_gradients(x, kernel, np.ones_like(y), codes, *arguments)
    assert np.isfinite(dx).all()
    first = dx.copy(), dkernel.copy()
    _core.conv2d_max_pool2d_gradients(x, kernel, np.ones_like(y), codes & 7, *arguments)
    assert_same_bits(dx, first[0])
    assert_same_bits(dkernel, first[1])


def test_codes_need_windows_that_tile() -> None:
    x, kernel = floats(1, 1, 9, 9, 1), floats(2, 3, 3, 1, 16)
    y, codes = np.empty((1, 3, 3, 16), np.float32), np.empty((1, 3, 3, 16), np.uint8)
    overlapping = (3, 3, 2, 2, 1, 1, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="codes exist for 2x2 windows"):
        _core.conv2d_max_pool2d(x, kernel, None, y, codes, CONV, overlapping, True, 1)


@winograds
def test_nan_and_infinity_go_the_exact_way(x_shape: Any, kernel_shape: Any) -> None:
    x, kernel = floats(1, *x_shape), floats(2, *kernel_shape)
    for value in (np.nan, np.inf, 3e38):
        x[1, 6, 6, 0] = value
        with np.errstate(all="ignore"):
            y_expected = reference.conv2d_max_pool2d(x, kernel)
        y, _ = forward(x, kernel, None, CONV, True, 1)
        assert_equal(np.isnan(y), np.isnan(y_expected))
        assert_equal(np.isposinf(y), np.isposinf(y_expected))


@winograds
def test_values_too_large_for_winograd_slow_down_their_own_rows(
    x_shape: Any, kernel_shape: Any
) -> None:
    """The bits of a row of windows depend on what it reads, not on the rows computed beside it."""
    x, kernel = floats(1, *x_shape), floats(2, *kernel_shape)
    ordinary, _ = forward(x, kernel, None, CONV, True, 1)
    x[:, 6, 2] = 1e37
    for threads in (1, 2, 3):
        y, _ = forward(x, kernel, None, CONV, True, threads)
        for row, reads in enumerate(range(0, x_shape[1] - 3, 2)):
            same = np.array_equal(y[:, row], ordinary[:, row])
            assert same == (not reads <= 6 < reads + 4)


@pytest.mark.usefixtures("strict")
@winograds
def test_strict_switches_winograd_off(x_shape: Any, kernel_shape: Any) -> None:
    x, kernel = floats(1, *x_shape), floats(2, *kernel_shape)
    y = ops.conv2d_max_pool2d(x, kernel, activation=None)
    plain = ops.max_pool2d(ops.conv2d(x, kernel))
    assert_same_bits(y, plain)
    magnitude = reference.max_pool2d(reference.conv2d(abs(x), abs(kernel)))
    expected = reference.max_pool2d(
        reference.conv2d(x.astype(np.float64), kernel.astype(np.float64))
    )
    assert_within_bound(y, expected, magnitude, 9 * kernel_shape[2])


@dtypes
@winograds
def test_real_values_are_within_the_bound_of_winograd(
    x_shape: Any, kernel_shape: Any, dtype: type
) -> None:
    x, kernel, bias = reals(1, *x_shape), reals(2, *kernel_shape), reals(3, kernel_shape[3])
    arguments = (array.astype(dtype) for array in (x, kernel, bias))
    y = ops.conv2d_max_pool2d(*arguments, activation=None)
    magnitude = winograd_magnitude(x, kernel, x_shape[1] - 2, x_shape[2] - 2) + abs(bias)
    # A maximum is off by no more than the worst of its window.
    expected = reference.conv2d_max_pool2d(x, kernel, bias, activation=None)
    channels = kernel_shape[2]
    terms = winograd_few_terms(channels) if channels <= 4 else channels + 14
    assert_within_bound(y, expected, reference.max_pool2d(magnitude), terms)


@winograds
def test_default_uses_winograd(x_shape: Any, kernel_shape: Any, isa: str) -> None:
    """It rounds differently, so that equal bits would mean that it did not run."""
    x, kernel = floats(1, *x_shape), floats(2, *kernel_shape)
    y = ops.conv2d_max_pool2d(x, kernel, activation=None)
    with strict_precision():
        plain = ops.max_pool2d(ops.conv2d(x, kernel))
    assert np.array_equal(y, plain) == (isa == "avx2" and 1 < kernel_shape[2] <= 4)
    assert np.abs(y - plain).max() <= 2e-5 * np.abs(plain).max()  # the promise of "default"


@winograds
def test_an_image_alone_has_the_bits_it_has_in_a_batch(x_shape: Any, kernel_shape: Any) -> None:
    x, kernel = floats(1, *x_shape), floats(2, *kernel_shape)
    y, codes = forward(x, kernel, None, CONV, True, 2)
    for n in (0, 2):
        alone, code = forward(x[n : n + 1], kernel, None, CONV, True, 2)
        assert_same_bits(alone[0], y[n])
        assert_equal(code[0], codes[n])
