"""Depthwise convolutions of few taps, which have a kernel of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import ops, reference
from support.arrays import (
    DTYPES,
    Guarded,
    assert_equal,
    assert_same_bits,
    guarded_copy,
    integers,
)
from support.bounds import assert_within_bound
from support.cases import ConvCase
from support.data import convolution_data, real_data


def case(
    name: str, x: tuple[int, int, int, int], taps: tuple[int, int], **options: Any
) -> ConvCase:
    return ConvCase(name, x, (*taps, 1, x[3]), groups=x[3], **options)


BORDERS = (
    *(
        case(
            f"{size}x{size + 1}_stride_{stride}_pad_{pad}",
            (2, size, size + 1, 20),
            (3, 3),
            strides=stride,
            padding=pad,
        )
        for size in (3, 4, 5, 6, 7)
        for stride in (1, 2, 3)
        for pad in (0, 1, 2)
    ),
    case("1x1_image", (3, 1, 1, 19), (3, 3), padding=1),
    case("1x1_image_stride_2", (3, 1, 1, 19), (3, 3), padding=1, strides=2),
    case("1_row", (2, 1, 9, 19), (3, 3), padding=1),
    case("1_column", (2, 9, 1, 19), (3, 3), padding=1, strides=2),
    case("2x2_image", (2, 2, 2, 19), (3, 3), padding=1),
    case("2x2_image_stride_2", (2, 2, 2, 19), (3, 3), padding="same", strides=2),
    case("pad_above_kernel", (2, 3, 4, 19), (3, 3), padding=5),
    case("pad_above_kernel_stride_2", (2, 3, 4, 19), (3, 3), padding=5, strides=2),
    case("pad_asymmetric", (2, 8, 9, 19), (3, 3), padding=((0, 1), (1, 0)), strides=2),
    case("rows_left_over", (2, 8, 10, 19), (3, 3), strides=2),
    case("strides_differ", (2, 8, 9, 19), (3, 3), strides=(1, 2), padding=1),
    case("dilated", (2, 9, 9, 19), (3, 3), padding=2, dilation_rate=2),
    case("dilated_stride_2", (2, 9, 9, 19), (3, 3), padding=2, dilation_rate=2, strides=2),
    case("stride_above_kernel", (2, 11, 12, 19), (3, 3), strides=5, padding=1),
    *(
        case(
            f"{rows}x{columns}_stride_{stride}",
            (2, 7, 8, 19),
            (rows, columns),
            strides=stride,
            padding=1,
        )
        for rows in (1, 2, 3)
        for columns in (1, 2, 3)
        for stride in (1, 2)
    ),
)
TAILS = tuple(
    case(
        f"{channels}_channels_stride_{stride}",
        (2, 5, 6, channels),
        (3, 3),
        padding=1,
        strides=stride,
    )
    for channels in (2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 67, 256, 257, 304)
    for stride in (1, 2)
)
PARALLEL = (
    case("one_image", (1, 41, 47, 67), (3, 3), padding=1),
    case("one_image_stride_2", (1, 83, 85, 67), (3, 3), padding=1, strides=2),
    case("many_images", (70, 14, 15, 32), (3, 3), padding=1),
    case("many_images_stride_2", (70, 28, 27, 32), (3, 3), padding="same", strides=2),
    case("many_channels", (2, 9, 9, 1040), (3, 3), padding=1),
)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", BORDERS + TAILS, ids=str)
def test_integers_are_exact(c: ConvCase, dtype: type) -> None:
    data = convolution_data(c)
    x, kernel, bias, grad = (
        guarded_copy(array.astype(dtype)) for array in (data.x, data.kernel, data.bias, data.grad)
    )
    y = Guarded(data.y.shape, dtype)
    ops.conv2d(x.array, kernel.array, out=y.array, **c.options)
    assert_equal(y.array, data.y.astype(dtype))
    y.assert_guards_intact()
    ops.conv2d(x.array, kernel.array, bias.array, activation="relu", out=y.array, **c.options)
    assert_equal(y.array, data.y_with_bias_and_relu.astype(dtype))
    out = ops.Conv2DGradients(
        *(Guarded(array.shape, dtype) for array in (data.x, data.kernel, data.bias))
    )
    arrays = ops.Conv2DGradients(*(guarded.array for guarded in out))
    ops.conv2d_gradients(x.array, kernel.array, grad.array, out=arrays, **c.options)
    for guarded, wanted in zip(out, (data.dx, data.dkernel, data.dbias), strict=True):
        assert_equal(guarded.array, wanted.astype(dtype))
        guarded.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", PARALLEL, ids=str)
def test_bits_do_not_depend_on_the_thread_count(c: ConvCase, dtype: type) -> None:
    data = real_data(c)
    x, kernel, bias, grad = (
        array.astype(dtype) for array in (data.x, data.kernel, data.bias, data.grad)
    )

    def results(threads: int) -> list[Any]:
        y = ops.conv2d(x, kernel, bias, num_threads=threads, **c.options)
        return [y, *ops.conv2d_gradients(x, kernel, grad, num_threads=threads, **c.options)]

    serial = results(1)
    outputs = data.grad[..., 0].size
    wanted = (data.y, *data.gradients)
    sizes = (data.y_magnitude, *data.gradient_magnitudes)
    for values in zip(serial, wanted, sizes, (c.terms, 9, outputs, outputs), strict=True):
        assert_within_bound(*values)
    for threads in (2, 3, 7):
        for array, expected in zip(results(threads), serial, strict=True):
            assert_same_bits(array, expected, f"{threads} threads")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strides", [1, 2])
def test_bits_do_not_depend_on_alignment(strides: int, dtype: type) -> None:
    data = real_data(case("wide", (2, 6, 7, 272), (3, 3), padding=1, strides=strides))
    options: dict[str, Any] = {"groups": 272, "padding": 1, "strides": strides}

    def results(offset: int) -> list[Any]:
        arrays = []
        for array in (data.x, data.kernel, data.grad):
            memory = np.zeros(array.size + 128, dtype)
            start = -memory.ctypes.data % 64 // memory.itemsize + offset
            arrays.append(memory[start : start + array.size].reshape(array.shape))
            arrays[-1][...] = array
        return [ops.conv2d(*arrays[:2], **options), *ops.conv2d_gradients(*arrays, **options)]

    aligned = results(0)
    for offset in range(1, 17, 3):
        for array, expected in zip(results(offset), aligned, strict=True):
            assert_same_bits(array, expected, f"offset {offset}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_what_is_outside_the_image_is_not_multiplied(
    padding: int, strides: int, dtype: type
) -> None:
    c = case("infinite", (1, 6, 7, 19), (3, 3), strides=strides, padding=padding)
    data = convolution_data(c)
    x, grad = abs(data.x) + 1, abs(data.grad) + 1
    for tap in np.ndindex(3, 3):
        kernel, marks = abs(data.kernel) + 1, np.zeros_like(data.kernel)
        kernel[tap], marks[tap] = 0, 1
        clean_y = reference.conv2d(x, kernel, **c.options)
        reached_y = reference.conv2d(x, marks, **c.options)
        clean_x = reference.conv2d_gradients(x, kernel, grad, wrt=("x",), **c.options).x
        reached_x = reference.conv2d_gradients(x, marks, grad, wrt=("x",), **c.options).x
        kernel[tap] = np.inf
        arguments = [array.astype(dtype) for array in (x, kernel, grad)]
        y = ops.conv2d(*arguments[:2], **c.options)
        assert_equal(y, np.where(reached_y > 0, np.inf, clean_y).astype(dtype), f"tap {tap}")
        dx = ops.conv2d_gradients(*arguments, wrt=("x",), **c.options).x
        assert_equal(dx, np.where(reached_x > 0, np.inf, clean_x).astype(dtype), f"tap {tap}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strides", [1, 2])
def test_infinite_gradients_reach_the_taps_that_saw_them(strides: int, dtype: type) -> None:
    c = case("infinite", (2, 6, 7, 19), (3, 3), strides=strides, padding=1)
    data = convolution_data(c)
    x = abs(data.x) + 1
    for place in np.ndindex(data.grad.shape[1:3]):
        grad, marks = abs(data.grad) + 1, np.zeros_like(data.grad)
        grad[1][place], marks[1][place] = 0, 1
        clean = reference.conv2d_gradients(x, data.kernel, grad, wrt=("kernel",), **c.options)
        reached = reference.conv2d_gradients(x, data.kernel, marks, wrt=("kernel",), **c.options)
        grad[1][place] = np.inf
        arguments = (array.astype(dtype) for array in (x, data.kernel, grad))
        actual = ops.conv2d_gradients(*arguments, wrt=("kernel",), **c.options).kernel
        expected = np.where(reached.kernel > 0, np.inf, clean.kernel).astype(dtype)
        assert_equal(actual, expected, f"output {place}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_in_its_channel(dtype: type) -> None:
    x, kernel = integers(0, 2, 9, 10, 35), integers(1, 3, 3, 1, 35)
    kernel[kernel == 0] = 1
    for strides in (1, 2):
        options: dict[str, Any] = {"groups": 35, "padding": 1, "strides": strides}
        clean = reference.conv2d(x, kernel, **options)
        for row, column, channel in ((0, 0, 0), (4, 5, 16), (8, 9, 34)):
            spoilt, marks = x.copy(), np.zeros_like(x)
            spoilt[1, row, column, channel] = np.nan
            marks[1, row, column, channel] = 1
            reached = reference.conv2d(marks, abs(kernel), **options) > 0
            expected = np.where(reached, np.nan, np.maximum(clean, 0)).astype(dtype)
            arguments = spoilt.astype(dtype), kernel.astype(dtype)
            assert_equal(ops.conv2d(*arguments, activation="relu", **options), expected)
