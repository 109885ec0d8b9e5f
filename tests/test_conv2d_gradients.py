"""The native gradients of the convolution, on every instruction-set level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastconv import ops, reference
from fastconv.ops import Conv2DGradients
from support.arrays import (
    DATA_FORMATS,
    DTYPES,
    Guarded,
    assert_equal,
    assert_same_bits,
    guarded_copy,
    in_format,
    integers,
    reals,
)
from support.bounds import assert_within_bound
from support.cases import CONVOLUTIONS, PARALLEL_CONVOLUTIONS, ConvCase
from support.data import convolution_data, real_data
from support.strategies import convolutions

NAMES = Conv2DGradients._fields
BOUND_CASES = CONVOLUTIONS[::4] + PARALLEL_CONVOLUTIONS[:1]


def real_arguments(case: ConvCase) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, kernel and the gradient of the result, in float64."""
    data = real_data(case)
    return data.x, data.kernel, data.grad


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_integers_are_exact(case: ConvCase, dtype: type) -> None:
    data = convolution_data(case)
    kernel = guarded_copy(data.kernel.astype(dtype))
    for data_format in DATA_FORMATS:
        x = guarded_copy(in_format(data.x, data_format).astype(dtype))
        grad = guarded_copy(in_format(data.grad, data_format).astype(dtype))
        expected = (in_format(data.dx, data_format), data.dkernel, data.dbias)
        out = [Guarded(array.shape, dtype) for array in expected]
        gradients = ops.conv2d_gradients(
            x.array,
            kernel.array,
            grad.array,
            data_format=data_format,
            out=Conv2DGradients(*(guarded.array for guarded in out)),
            **case.options,
        )
        for name, array, given_array, wanted in zip(NAMES, gradients, out, expected, strict=True):
            assert array is given_array.array, name
            assert_equal(array, wanted.astype(dtype), f"gradient of {name}, {data_format}")
            given_array.assert_guards_intact()
        assert_equal(x.array, in_format(data.x, data_format).astype(dtype), "x was modified")
        assert_equal(grad.array, in_format(data.grad, data_format).astype(dtype), "grad modified")
    assert_equal(kernel.array, data.kernel.astype(dtype), "kernel was modified")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", PARALLEL_CONVOLUTIONS, ids=str)
def test_integers_are_exact_in_parallel(case: ConvCase, dtype: type, num_threads: int) -> None:
    data = convolution_data(case)
    arrays = (array.astype(dtype) for array in (data.x, data.kernel, data.grad))
    gradients = ops.conv2d_gradients(*arrays, num_threads=num_threads, **case.options)
    for name, array, wanted in zip(
        NAMES, gradients, (data.dx, data.dkernel, data.dbias), strict=True
    ):
        assert_equal(array, wanted.astype(dtype), f"gradient of {name}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", PARALLEL_CONVOLUTIONS, ids=str)
def test_bits_do_not_depend_on_the_thread_count(
    case: ConvCase, dtype: type, data_format: str
) -> None:
    x, kernel, grad = (array.astype(dtype) for array in real_arguments(case))
    x, grad = in_format(x, data_format), in_format(grad, data_format)
    options: dict[str, Any] = {"data_format": data_format, **case.options}
    serial, *others = (
        ops.conv2d_gradients(x, kernel, grad, num_threads=count, **options)
        for count in (1, 2, 3, 2)
    )
    for gradients in others:
        for name, array, wanted in zip(NAMES, gradients, serial, strict=True):
            assert_same_bits(array, wanted, f"gradient of {name}")


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", BOUND_CASES, ids=str)
def test_real_values_are_within_the_bound(case: ConvCase, dtype: type) -> None:
    data = real_data(case)
    arguments = (array.astype(dtype) for array in (data.x, data.kernel, data.grad))
    gradients = ops.conv2d_gradients(*arguments, **case.options)
    kernel_height, kernel_width, _, filters = case.kernel
    outputs = data.grad[..., 0].size
    terms = (kernel_height * kernel_width * filters // case.groups, outputs, outputs)
    for values in zip(gradients, data.gradients, data.gradient_magnitudes, terms, strict=True):
        assert_within_bound(*values)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("case", BOUND_CASES, ids=str)
def test_default_precision_is_within_2e_5_in_norm(case: ConvCase) -> None:
    data = real_data(case)
    arguments = (array.astype(np.float32) for array in (data.x, data.kernel, data.grad))
    gradients = ops.conv2d_gradients(*arguments, **case.options)
    for array, wanted, size in zip(
        gradients, data.gradients, data.gradient_magnitudes, strict=True
    ):
        assert abs(array - wanted).max(initial=0) <= 2e-5 * size.max(initial=0)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS[1::5], ids=str)
def test_gradients_are_the_adjoints_of_the_native_convolution(case: ConvCase, dtype: type) -> None:
    # Whole numbers: the three inner products are equal, not merely close. They are taken in
    # float64, as they may pass 2**24.
    data = convolution_data(case)
    x, kernel, grad = (array.astype(dtype) for array in (data.x, data.kernel, data.grad))
    y = ops.conv2d(x, kernel, **case.options)
    dx, dkernel, _ = ops.conv2d_gradients(x, kernel, grad, **case.options)

    def inner(a: np.ndarray, b: np.ndarray) -> float:
        return float((a.astype(np.float64) * b).sum())

    assert inner(y, grad) == inner(x, dx) == inner(kernel, dkernel)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_the_exact_finite_differences_of_the_native_convolution(dtype: type) -> None:
    case = ConvCase("small", (2, 5, 4, 3), (2, 3, 3, 5), strides=(2, 1), padding="same")
    x, kernel, bias = (
        a.astype(dtype) for a in (integers(0, *case.x), integers(1, *case.kernel), integers(2, 5))
    )
    grad = integers(3, *ops.conv2d(x, kernel, **case.options).shape).astype(dtype)

    def loss() -> float:
        y = ops.conv2d(x, kernel, bias, **case.options).astype(np.float64)
        return float((y * grad).sum())

    gradients = ops.conv2d_gradients(x, kernel, grad, **case.options)
    base = loss()
    for name, point, gradient in zip(NAMES, (x, kernel, bias), gradients, strict=True):
        for index in np.ndindex(*point.shape):
            point[index] += 1
            assert loss() - base == gradient[index], f"gradient of {name} at {index}"
            point[index] -= 1


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_input_gradient_of_an_image_equals_that_of_the_image_alone(
    dtype: type, num_threads: int
) -> None:
    for case in (
        ConvCase("m1_second", (5, 13, 13, 32), (3, 3, 32, 64)),
        ConvCase("strided", (5, 11, 9, 17), (3, 3, 17, 19), strides=2, padding="same"),
        ConvCase("depthwise", (5, 9, 9, 33), (3, 3, 1, 33), groups=33),
    ):
        x, kernel, grad = (array.astype(dtype) for array in real_arguments(case))
        options: dict[str, Any] = {"wrt": ("x",), **case.options}
        batch = ops.conv2d_gradients(x, kernel, grad, num_threads=num_threads, **options).x
        for image in range(case.x[0]):
            one = slice(image, image + 1)
            alone = ops.conv2d_gradients(x[one].copy(), kernel, grad[one].copy(), **options).x
            assert_same_bits(batch[one], alone, f"{case}, image {image}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_identical_channels_give_identical_gradients(dtype: type) -> None:
    plane, weights = reals(0, 2, 6, 7, 1).astype(dtype), reals(1, 3, 3, 1, 5).astype(dtype)
    grad = reals(2, 2, 4, 5, 5).astype(dtype)
    for channels in range(1, 68):
        inputs = np.repeat(plane, channels, axis=3)
        dense = ops.conv2d_gradients(inputs, np.repeat(weights, channels, axis=2), grad)
        assert_same_bits(dense.x, np.repeat(dense.x[..., :1], channels, axis=3), f"{channels}")
        first = np.repeat(dense.kernel[:, :, :1], channels, axis=2)
        assert_same_bits(dense.kernel, first, f"{channels}")
        depthwise = ops.conv2d_gradients(
            inputs,
            np.repeat(weights[..., :1], channels, axis=3),
            np.repeat(grad[..., :1], channels, axis=3),
            groups=channels,
        )
        for name, array in zip(NAMES, depthwise, strict=True):
            first = np.repeat(array[..., :1], channels, axis=array.ndim - 1)
            assert_same_bits(array, first, f"gradient of {name}, {channels} channels")


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_reaches_exactly_what_reads_it(dtype: type) -> None:
    for case in (
        ConvCase("plain", (3, 9, 10, 5), (3, 3, 5, 19)),
        ConvCase("strided", (3, 9, 10, 5), (3, 2, 5, 7), strides=2, padding=1),
        ConvCase("grouped", (3, 9, 10, 6), (3, 3, 3, 8), groups=2),
        ConvCase("depthwise", (3, 9, 10, 19), (3, 3, 1, 19), groups=19),
    ):
        data = convolution_data(case)
        grad, marks = data.grad.copy(), np.zeros_like(data.grad)
        grad[1, 1, 2, 3], marks[1, 1, 2, 3] = np.nan, 1
        kernel = np.where(data.kernel == 0, 1, data.kernel)
        clean = reference.conv2d_gradients(data.x, kernel, data.grad, **case.options)
        ones = np.ones_like(data.x)
        reached = reference.conv2d_gradients(ones, abs(kernel), marks, **case.options)
        actual = ops.conv2d_gradients(
            *(array.astype(dtype) for array in (data.x, kernel, grad)), **case.options
        )
        for name, array, value, mark in zip(NAMES, actual, clean, reached, strict=True):
            expected = np.where(mark > 0, np.nan, value).astype(dtype)
            assert_equal(array, expected, f"{case}, gradient of {name}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_infinite_weights_reach_exactly_what_they_read(dtype: type) -> None:
    for case in (
        ConvCase("few_channels", (2, 9, 10, 1), (3, 4, 1, 19)),
        ConvCase("padded", (2, 9, 10, 2), (3, 3, 2, 17), padding=1),
        ConvCase("strided", (2, 9, 11, 2), (5, 5, 2, 16), strides=2, padding=((2, 1), (1, 3))),
        ConvCase("many_channels", (2, 9, 10, 17), (3, 3, 17, 19), padding=1),
    ):
        data = convolution_data(case)
        for tap in np.ndindex(case.kernel[:2]):
            kernel, marks = data.kernel.copy(), np.zeros_like(data.kernel)
            kernel[tap], marks[tap] = 0, 1
            options: dict[str, Any] = {"wrt": ("x",), **case.options}
            grad = abs(data.grad) + 1
            clean = reference.conv2d_gradients(data.x, kernel, grad, **options).x
            reached = reference.conv2d_gradients(data.x, marks, grad, **options).x
            kernel[tap] = np.inf
            actual = ops.conv2d_gradients(
                *(array.astype(dtype) for array in (data.x, kernel, grad)), **options
            ).x
            expected = np.where(reached > 0, np.inf, clean).astype(dtype)
            assert_equal(actual, expected, f"{case}, tap {tap}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("wrt", [("x",), ("kernel",), ("bias",), ("bias", "x"), ()])
def test_each_gradient_is_the_same_alone(wrt: tuple[str, ...]) -> None:
    case = PARALLEL_CONVOLUTIONS[3]
    arguments = [array.astype(np.float32) for array in real_arguments(case)]
    everything = ops.conv2d_gradients(*arguments, **case.options)
    some = ops.conv2d_gradients(*arguments, wrt=wrt, **case.options)
    for name, array, wanted in zip(NAMES, some, everything, strict=True):
        if name in wrt:
            assert_same_bits(array, wanted, name)
        else:
            assert array is None


@pytest.mark.usefixtures("isa")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    case=convolutions(),
    data_format=st.sampled_from(DATA_FORMATS),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 3),
)
def test_any_shape(case: ConvCase, data_format: str, dtype: type, seed: int) -> None:
    x, kernel = integers(seed, *case.x), integers(seed + 1, *case.kernel)
    grad = integers(seed + 2, *reference.conv2d(x, kernel, **case.options).shape)
    expected = reference.conv2d_gradients(x, kernel, grad, **case.options)
    actual = ops.conv2d_gradients(
        in_format(x, data_format).astype(dtype),
        kernel.astype(dtype),
        in_format(grad, data_format).astype(dtype),
        data_format=data_format,
        **case.options,
    )
    assert_equal(actual.x, in_format(expected.x, data_format).astype(dtype))
    assert_equal(actual.kernel, expected.kernel.astype(dtype))
    assert_equal(actual.bias, expected.bias.astype(dtype))
