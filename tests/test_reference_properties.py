"""The reference against loops over every index, exact finite differences and adjoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import reference
from fastconv._types import Activation, DataFormat
from support import loops
from support.arrays import DATA_FORMATS, assert_equal, in_format, integers, reals
from support.bounds import gamma
from support.cases import POOLINGS, TRICKY_CONVOLUTIONS, ConvCase, PoolCase

SMALL_CONVOLUTIONS = [
    case
    for case in TRICKY_CONVOLUTIONS
    if np.prod(case.x[:3], dtype=int) * np.prod(case.kernel) < 20_000
]
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
sides = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes for which at least one window fits."""
    size, strides, dilation, padding = draw(pairs), draw(pairs), draw(pairs), draw(sides)
    groups, inputs, outputs = draw(st.tuples(*[st.integers(1, 3)] * 3))
    spatial = [
        max(1, dilation[axis] * (size[axis] - 1) + 1 - sum(padding[axis])) + draw(st.integers(0, 4))
        for axis in (0, 1)
    ]
    return {
        "x": (draw(st.integers(0, 2)), *spatial, groups * inputs),
        "kernel": (*size, inputs, groups * outputs),
        "strides": strides,
        "sides": padding,
        "dilation": dilation,
        "groups": groups,
    }


@settings(max_examples=60, deadline=None)
@given(case=convolutions(), data_format=st.sampled_from(DATA_FORMATS))
def test_convolution_is_the_loop_over_every_index(case: dict[str, Any], data_format: str) -> None:
    x, kernel = integers(0, *case["x"]), integers(1, *case["kernel"])
    bias = integers(2, case["kernel"][3])
    expected = loops.conv2d(
        x, kernel, case["strides"], case["sides"], case["dilation"], case["groups"]
    )
    options: dict[str, Any] = {
        "strides": case["strides"],
        "padding": case["sides"],
        "dilation_rate": case["dilation"],
        "groups": case["groups"],
        "data_format": data_format,
    }
    y = reference.conv2d(in_format(x, data_format), kernel, bias, **options)
    assert_equal(y, in_format(expected + bias, data_format))


@settings(max_examples=60, deadline=None)
@given(case=convolutions(), data_format=st.sampled_from(DATA_FORMATS), seed=st.integers(0, 9))
def test_pooling_is_the_loop_over_every_index(
    case: dict[str, Any], data_format: str, seed: int
) -> None:
    size = case["kernel"][:2]
    padding = tuple(
        tuple(min(side, extent - 1) for side in both)
        for both, extent in zip(case["sides"], size, strict=True)
    )
    x = integers(
        seed,
        *(max(length, 2 * 3 + 1) if i in (1, 2) else length for i, length in enumerate(case["x"])),
    )
    # A few cells that the rules single out.
    x[x == 4] = np.nan
    x[x == -4] = -np.inf
    shape, windows = loops.windows(x, size, case["strides"], padding, case["dilation"])
    maxima = [loops.first_maximum(cells) for cells in windows]
    options: dict[str, Any] = {"strides": case["strides"], "padding": padding}
    x_in_format = in_format(x, data_format)
    y, argmax = reference.max_pool2d(
        x_in_format,
        size,
        dilation_rate=case["dilation"],
        return_argmax=True,
        data_format=data_format,
        **options,
    )
    values = np.array([value for _, value in maxima]).reshape(shape)
    codes = np.array([code for code, _ in maxima], np.int64).reshape(shape)
    assert_equal(y, in_format(values, data_format))
    assert_equal(argmax, in_format(codes, data_format))
    if case["dilation"] == (1, 1):
        means = [sum(value for _, value in cells) / len(cells) for cells in windows]
        average = reference.average_pool2d(x_in_format, size, data_format=data_format, **options)
        assert_equal(average, in_format(np.array(means).reshape(shape), data_format))


def differences(function: Any, point: np.ndarray) -> np.ndarray:
    """f(point + e_i) - f(point) for each i: the gradient itself where f is linear in each x_i."""
    base, result = function(point), np.empty(point.shape)
    for index in np.ndindex(*point.shape):
        moved = point.copy()
        moved[index] += 1
        result[index] = function(moved) - base
    return result


@pytest.mark.parametrize("case", SMALL_CONVOLUTIONS[::3], ids=str)
def test_convolution_gradients_are_the_exact_finite_differences(case: ConvCase) -> None:
    x, kernel, bias = integers(0, *case.x), integers(1, *case.kernel), integers(2, case.kernel[3])
    grad = integers(3, *reference.conv2d(x, kernel, **case.options).shape)

    def loss(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> float:
        return float((reference.conv2d(x, kernel, bias, **case.options) * grad).sum())

    gradients = reference.conv2d_gradients(x, kernel, grad, **case.options)
    assert_equal(gradients.x, differences(lambda v: loss(v, kernel, bias), x))
    assert_equal(gradients.kernel, differences(lambda v: loss(x, v, bias), kernel))
    assert_equal(gradients.bias, differences(lambda v: loss(x, kernel, v), bias))


@pytest.mark.parametrize("case", [case for case in POOLINGS if np.prod(case.x) < 700], ids=str)
def test_pooling_gradients_are_the_exact_finite_differences(case: PoolCase) -> None:
    # Distinct cells 2 apart: a step of 1 never changes which cell is the maximum.
    cells = int(np.prod(case.x))
    x = 2.0 * np.random.default_rng(0).permutation(cells).reshape(case.x)
    y, argmax = reference.max_pool2d(x, return_argmax=True, **case.options)
    grad = integers(1, *y.shape)
    dx = reference.max_pool2d_gradient(grad, argmax, x.shape)
    expected = differences(lambda v: (reference.max_pool2d(v, **case.options) * grad).sum(), x)
    assert_equal(dx, expected)


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("case", [*SMALL_CONVOLUTIONS], ids=str)
def test_convolution_gradients_are_adjoints(case: ConvCase, data_format: str) -> None:
    x, kernel = in_format(integers(0, *case.x), data_format), integers(1, *case.kernel)
    y = reference.conv2d(x, kernel, data_format=data_format, **case.options)
    grad = integers(2, *y.shape)
    dx, dkernel, dbias = reference.conv2d_gradients(
        x, kernel, grad, data_format=data_format, **case.options
    )
    assert dx is not None
    assert dkernel is not None
    assert dbias is not None
    assert (y * grad).sum() == (x * dx).sum() == (kernel * dkernel).sum()
    channel_axis = 3 if data_format == "channels_last" else 1
    assert_equal(dbias, grad.sum(axis=tuple({0, 1, 2, 3} - {channel_axis})))


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("case", [case for case in POOLINGS if case.has_average], ids=str)
def test_average_gradient_is_the_adjoint(case: PoolCase, data_format: str) -> None:
    # Multiples of every number of cells that a window of the table has: all quotients are whole.
    cells_in_windows = np.lcm.reduce(range(1, 31))
    x = in_format(integers(0, *case.x) * cells_in_windows, data_format)
    options = {"data_format": data_format, **case.average_options}
    y = reference.average_pool2d(x, **options)
    grad = integers(1, *y.shape) * cells_in_windows
    dx = reference.average_pool2d_gradient(grad, x.shape, **options)
    # Exact as Python ints, which do not run out of bits.
    left = sum(int(a) * int(b) for a, b in zip(y.ravel(), grad.ravel(), strict=True))
    right = sum(int(a) * int(b) for a, b in zip(x.ravel(), dx.ravel(), strict=True))
    assert left == right


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("activation", [None, "linear", "relu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_equals_the_composition(
    dtype: type, activation: Activation, data_format: DataFormat
) -> None:
    x = in_format(reals(0, 2, 9, 8, 3), data_format).astype(dtype)
    kernel, bias = reals(1, 3, 2, 3, 4).astype(dtype), reals(2, 4).astype(dtype)
    layout: dict[str, Any] = {"data_format": data_format}
    conv: dict[str, Any] = {"strides": 1, "padding": "same", **layout}
    pool: dict[str, Any] = {"pool_size": (3, 2), "pool_strides": 2}
    middle = reference.conv2d(x, kernel, bias, activation=activation, **conv)
    y, argmax = reference.max_pool2d(middle, (3, 2), strides=2, return_argmax=True, **layout)
    fused = reference.conv2d_max_pool2d(
        x, kernel, bias, activation=activation, return_argmax=True, **conv, **pool
    )
    assert_equal(fused[0], y)
    assert_equal(fused[1], argmax)
    grad = in_format(reals(3, 2, 4, 4, 4), data_format).astype(dtype)
    passed = reference.relu_gradient(grad, y) if activation == "relu" else grad
    dmiddle = reference.max_pool2d_gradient(passed, argmax, middle.shape, **layout)
    expected = reference.conv2d_gradients(x, kernel, dmiddle, **conv)
    # The composition rounds the scattered gradient, and both round their results: 3 roundings.
    magnitude = reference.conv2d_gradients(
        abs(x).astype(np.float64),
        abs(kernel).astype(np.float64),
        reference.max_pool2d_gradient(abs(passed), argmax, middle.shape, **layout).astype(float),
        **conv,
    )
    actual = reference.conv2d_max_pool2d_gradients(
        x, kernel, grad, argmax, y, activation=activation, **conv, **pool
    )
    for value, wanted, size in zip(actual, expected, magnitude, strict=True):
        assert value is not None
        assert wanted is not None
        assert size is not None
        assert (abs(value - wanted) <= gamma(3, dtype) * size).all()


@pytest.mark.parametrize("activation", [None, "relu"])
def test_fused_gradients_are_the_finite_differences(activation: str | None) -> None:
    # Kernel and image are such that all results differ by at least 2 per step of the bias, and
    # a step of 1 in the bias moves a whole channel: the maxima stay where they are.
    x = 2.0 * np.random.default_rng(0).permutation(98).reshape(1, 7, 14, 1) - 99
    kernel, bias = np.array([1.0, -1.0]).reshape(1, 1, 1, 2), np.zeros(2)
    options: dict[str, Any] = {"pool_size": (2, 3), "activation": activation}

    def pooled(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return reference.conv2d_max_pool2d(x, kernel, bias, **options)

    y, argmax = reference.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **options)
    grad = integers(1, *y.shape)
    gradients = reference.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y, **options)
    # All values are odd, so that a step of 1 crosses neither 0 nor another cell.
    assert_equal(gradients.x, differences(lambda v: (pooled(v, bias) * grad).sum(), x))
    assert_equal(gradients.bias, differences(lambda v: (pooled(x, v) * grad).sum(), bias))


def test_softmax_cross_entropy_gradient_is_the_central_difference() -> None:
    logits = np.random.default_rng(0).uniform(-3, 3, (3, 5))
    step, labels = 1e-4, np.array([0, 4, 2])

    def total(x: np.ndarray) -> float:
        return float(reference.softmax_cross_entropy(x, labels)[0].sum())

    _, grad = reference.softmax_cross_entropy(logits, labels)
    # The third derivative of log-sum-exp, p (1 - p) (1 - 2p), is at most 0.0963; each of the 3
    # losses, below 8, takes fewer than 20 roundings.
    truncation = step**2 / 6 * 0.0963
    rounding = 3 * 20 * 8 * np.finfo(np.float64).eps / step
    for index in np.ndindex(*logits.shape):
        above, below = logits.copy(), logits.copy()
        above[index] += step
        below[index] -= step
        slope = (total(above) - total(below)) / (2 * step)
        assert abs(slope - grad[index]) <= truncation + rounding


def test_float32_sums_are_rounded_once() -> None:
    # In float32 arithmetic 2**24 + 1 + 1 is 2**24 or 2**24 + 2, by the order of the sum.
    x = np.float32([2**24, 1, 1]).reshape(1, 1, 3, 1)
    y = reference.conv2d(x, np.ones((1, 3, 1, 1), np.float32))
    assert y.item() == 2**24 + 2
    assert y.dtype == np.float32
