"""The native convolution against the reference, on every instruction-set level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastconv import ops, reference
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

BOUND_CASES = CONVOLUTIONS[::4] + PARALLEL_CONVOLUTIONS[:1]
BATCH_CASES = (
    ConvCase("m1_first", (5, 28, 28, 1), (3, 3, 1, 32)),
    ConvCase("m1_second", (5, 13, 13, 32), (3, 3, 32, 64)),
    ConvCase("strided", (5, 11, 9, 17), (3, 3, 17, 19), strides=2, padding="same"),
    ConvCase("grouped", (5, 8, 8, 12), (3, 3, 4, 15), groups=3, padding=1),
    ConvCase("depthwise", (5, 9, 9, 33), (3, 3, 1, 33), groups=33),
    ConvCase("1x1", (5, 6, 5, 19), (1, 1, 19, 33)),
    ConvCase("large", (3, 40, 40, 16), (3, 3, 16, 48), padding="same"),
)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_integers_are_exact(case: ConvCase, dtype: type) -> None:
    data = convolution_data(case)
    kernel = guarded_copy(data.kernel.astype(dtype))
    bias = guarded_copy(data.bias.astype(dtype))
    for data_format in DATA_FORMATS:
        x = guarded_copy(in_format(data.x, data_format).astype(dtype))
        for b, activation, nhwc in (
            (None, None, data.y),
            (bias.array, "relu", data.y_with_bias_and_relu),
        ):
            expected = in_format(nhwc, data_format).astype(dtype)
            out = Guarded(expected.shape, dtype)
            y = ops.conv2d(
                x.array,
                kernel.array,
                b,
                activation=activation,
                data_format=data_format,
                out=out.array,
                **case.options,
            )
            assert y is out.array
            assert_equal(y, expected, f"{data_format}, activation {activation}")
            out.assert_guards_intact()
        assert_equal(x.array, in_format(data.x, data_format).astype(dtype), "x was modified")
    assert_equal(kernel.array, data.kernel.astype(dtype), "kernel was modified")
    assert_equal(bias.array, data.bias.astype(dtype), "bias was modified")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", PARALLEL_CONVOLUTIONS, ids=str)
def test_integers_are_exact_in_parallel(case: ConvCase, dtype: type, num_threads: int) -> None:
    data = convolution_data(case)
    x, kernel, bias = (array.astype(dtype) for array in (data.x, data.kernel, data.bias))
    y = ops.conv2d(x, kernel, bias, activation="relu", num_threads=num_threads, **case.options)
    assert_equal(y, data.y_with_bias_and_relu.astype(dtype))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", PARALLEL_CONVOLUTIONS, ids=str)
def test_bits_do_not_depend_on_the_thread_count(
    case: ConvCase, dtype: type, data_format: str
) -> None:
    x = in_format(reals(0, *case.x), data_format).astype(dtype)
    kernel, bias = reals(1, *case.kernel).astype(dtype), reals(2, case.kernel[3]).astype(dtype)
    serial, *others = (
        ops.conv2d(x, kernel, bias, data_format=data_format, num_threads=count, **case.options)
        for count in (1, 2, 3, 2)
    )
    for y in others:
        assert_same_bits(y, serial)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("filters", "aligned"), [(32, True), (32, False), (24, True), (17, True)])
def test_outputs_beyond_the_caches(filters: int, aligned: bool, dtype: type) -> None:
    # From 8 MiB on whole, aligned cache lines are streamed, other outputs not.
    item = np.dtype(dtype).itemsize
    x = integers(0, 2, (8 << 20) // (filters * item * 200) + 1, 100, 1).astype(dtype)
    kernel, bias = integers(1, 1, 2, 1, filters).astype(dtype), integers(2, filters).astype(dtype)
    expected = x[:, :, :-1] * kernel[0, 0, 0] + x[:, :, 1:] * kernel[0, 1, 0] + bias
    expected = np.concatenate((expected, x[:, :, -1:] * kernel[0, 0, 0] + bias), axis=2)
    offset = 64 // item - 1 if aligned else 0
    guarded = Guarded((expected.size + offset,), dtype)
    out = guarded.array[offset:].reshape(expected.shape)
    assert (out.ctypes.data % 64 == 0) == aligned
    options: dict[str, Any] = {"padding": "same", "out": out, "num_threads": 2}
    assert_equal(ops.conv2d(x, kernel, bias, **options), expected)
    expected = np.maximum(expected, 0)
    assert_equal(ops.conv2d(x, kernel, bias, activation="relu", **options), expected)
    guarded.assert_guards_intact()


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", BOUND_CASES, ids=str)
def test_real_values_are_within_the_bound(case: ConvCase, dtype: type) -> None:
    data = real_data(case)
    arguments = (array.astype(dtype) for array in (data.x, data.kernel, data.bias))
    y = ops.conv2d(*arguments, **case.options)
    assert_within_bound(y, data.y, data.y_magnitude, case.terms)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("case", BOUND_CASES, ids=str)
def test_default_precision_is_within_2e_5_in_norm(case: ConvCase) -> None:
    # The promise for "default", which may use Winograd: an error of 2e-5 of the largest magnitude.
    data = real_data(case)
    arguments = (array.astype(np.float32) for array in (data.x, data.kernel, data.bias))
    y = ops.conv2d(*arguments, **case.options)
    assert abs(y - data.y).max(initial=0) <= 2e-5 * data.y_magnitude.max(initial=0)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", BATCH_CASES, ids=str)
def test_image_of_a_batch_equals_the_image_alone(
    case: ConvCase, dtype: type, data_format: str, num_threads: int
) -> None:
    x = in_format(reals(0, *case.x), data_format).astype(dtype)
    kernel, bias = reals(1, *case.kernel).astype(dtype), reals(2, case.kernel[3]).astype(dtype)
    options: dict[str, Any] = {"data_format": data_format, **case.options}
    batch = ops.conv2d(x, kernel, bias, num_threads=num_threads, **options)
    for image in range(case.x[0]):
        alone = ops.conv2d(x[image : image + 1].copy(), kernel, bias, **options)
        assert_same_bits(batch[image : image + 1], alone, f"image {image}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_identical_channels_give_identical_outputs(dtype: type) -> None:
    plane, window = reals(0, 2, 6, 7, 1).astype(dtype), reals(1, 3, 3, 1, 1).astype(dtype)
    shared, weights = reals(2, 2, 6, 7, 5).astype(dtype), reals(3, 3, 3, 5, 1).astype(dtype)
    for channels in range(1, 68):
        depthwise = ops.conv2d(
            np.repeat(plane, channels, axis=3), np.repeat(window, channels, axis=3), groups=channels
        )
        dense = ops.conv2d(shared, np.repeat(weights, channels, axis=3))
        for y in (depthwise, dense):
            first = np.repeat(y[..., :1], channels, axis=3)
            assert_same_bits(y, first, f"{channels} channels")


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "case",
    [
        ConvCase("plain", (3, 9, 10, 5), (3, 3, 5, 19)),
        ConvCase("same", (3, 9, 10, 16), (3, 3, 16, 16), padding="same"),
        ConvCase("strided", (3, 9, 10, 5), (3, 2, 5, 7), strides=2),
        ConvCase("dilated", (3, 9, 10, 5), (3, 2, 5, 7), dilation_rate=2, padding=1),
        ConvCase("grouped", (3, 9, 10, 6), (3, 3, 3, 8), groups=2),
        ConvCase("depthwise", (3, 9, 10, 19), (3, 3, 1, 19), groups=19),
        ConvCase("1x1", (3, 9, 10, 19), (1, 1, 19, 33)),
    ],
    ids=str,
)
def test_nan_reaches_exactly_its_receptive_field(case: ConvCase, dtype: type) -> None:
    x, kernel = integers(0, *case.x), integers(1, *case.kernel)
    kernel[kernel == 0] = 1
    clean = reference.conv2d(x, kernel, **case.options)
    for row, column, channel in ((0, 0, 0), (4, 5, 1), (8, 9, case.x[3] - 1)):
        spoilt, marks = x.copy(), np.zeros_like(x)
        spoilt[1, row, column, channel] = np.nan
        marks[1, row, column, channel] = 1
        reached = reference.conv2d(marks, abs(kernel), **case.options) > 0
        expected = np.where(reached, np.nan, clean).astype(dtype)
        y = ops.conv2d(spoilt.astype(dtype), kernel.astype(dtype), **case.options)
        assert_equal(y, expected)
        relu = ops.conv2d(
            spoilt.astype(dtype), kernel.astype(dtype), activation="relu", **case.options
        )
        assert_equal(relu, np.where(expected < 0, 0, expected).astype(dtype))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_memory_layout_is_read(dtype: type) -> None:
    x, kernel, bias = integers(0, 2, 6, 7, 4), integers(1, 3, 3, 4, 8), integers(2, 8)
    expected = reference.conv2d(x, kernel, bias).astype(dtype)
    x, kernel, bias = x.astype(dtype), kernel.astype(dtype), bias.astype(dtype)
    wide = np.zeros((2, 6, 14, 4), dtype)
    wide[:, :, ::2] = x
    reversed_x = np.ascontiguousarray(x[:, ::-1, :, ::-1])
    read_only = x.copy()
    read_only.flags.writeable = False
    memory = np.zeros(x.nbytes + 1, np.uint8)
    misaligned = memory[1:].view(dtype).reshape(x.shape)
    misaligned[...] = x
    for array in (
        wide[:, :, ::2],
        reversed_x[:, ::-1, :, ::-1],
        np.asfortranarray(x),
        read_only,
        misaligned,
    ):
        assert_equal(ops.conv2d(array, kernel, bias), expected)
    strided_bias = np.repeat(bias, 2)[::2]
    assert_equal(ops.conv2d(x, np.asfortranarray(kernel), strided_bias), expected)
    constant = np.broadcast_to(x[:1], (3, *x.shape[1:]))
    assert_equal(ops.conv2d(constant, kernel, bias), np.repeat(expected[:1], 3, axis=0))


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
    bias = integers(seed + 2, case.kernel[3])
    expected = in_format(reference.conv2d(x, kernel, bias, **case.options), data_format)
    y = ops.conv2d(
        in_format(x, data_format).astype(dtype),
        kernel.astype(dtype),
        bias.astype(dtype),
        data_format=data_format,
        **case.options,
    )
    assert_equal(y, expected.astype(dtype))
