"""The native poolings and their gradients, on every instruction-set level."""

from __future__ import annotations

import time
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
from support.cases import POOLINGS, PoolCase
from support.data import pooling_data
from support.strategies import poolings

AVERAGES = tuple(case for case in POOLINGS if case.has_average)
LARGE = (
    PoolCase("large_batch", (70, 26, 26, 32)),
    PoolCase("large_image", (1, 181, 190, 33), 3, 2, padding="same"),
)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", POOLINGS, ids=str)
def test_maxima_codes_and_gradients_are_exact(case: PoolCase, dtype: type) -> None:
    data = pooling_data(case)
    for data_format in DATA_FORMATS:
        x = guarded_copy(in_format(data.x, data_format).astype(dtype))
        expected = in_format(data.maxima, data_format).astype(dtype)
        codes = in_format(data.argmax, data_format)
        out = Guarded(expected.shape, dtype)
        options: dict[str, Any] = {"data_format": data_format, **case.options}
        y, argmax = ops.max_pool2d(x.array, return_argmax=True, out=out.array, **options)
        assert y is out.array
        assert_equal(y, expected, data_format)
        assert_equal(argmax, codes, data_format)
        out.assert_guards_intact()
        assert_equal(ops.max_pool2d(x.array, **options), expected, f"{data_format}, no argmax")
        assert_equal(x.array, in_format(data.x, data_format).astype(dtype), "x was modified")

        out = Guarded(x.array.shape, dtype)
        dx = ops.max_pool2d_gradient(
            guarded_copy(in_format(data.grad, data_format).astype(dtype)).array,
            guarded_copy(codes).array,
            x.array.shape,
            data_format=data_format,
            out=out.array,
        )
        assert_equal(dx, in_format(data.max_dx, data_format).astype(dtype), data_format)
        out.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", AVERAGES, ids=str)
def test_averages_and_gradients_are_within_the_bound(case: PoolCase, dtype: type) -> None:
    x = reals(0, *case.x)
    y = reference.average_pool2d(x, **case.average_options)
    grad = reals(1, *y.shape)
    dx = reference.average_pool2d_gradient(grad, x.shape, **case.average_options)
    # A mean is a sum of values times 1/count, which has one rounding, as has the product or
    # quotient: one more than the sum of products that the bound is for; a window has at most
    # `terms` cells, and a cell lies in at most as many windows.
    size = case.pool_size if isinstance(case.pool_size, tuple) else (case.pool_size,) * 2
    terms = size[0] * size[1] + 1
    y_magnitude = reference.average_pool2d(abs(x), **case.average_options)
    dx_magnitude = reference.average_pool2d_gradient(abs(grad), x.shape, **case.average_options)
    for data_format in DATA_FORMATS:
        options: dict[str, Any] = {"data_format": data_format, **case.average_options}
        out = Guarded(in_format(y, data_format).shape, dtype)
        x_in_format = in_format(x, data_format).astype(dtype)
        actual = ops.average_pool2d(guarded_copy(x_in_format).array, out=out.array, **options)
        assert actual is out.array
        wanted = in_format(y, data_format), in_format(y_magnitude, data_format)
        assert_within_bound(actual, *wanted, terms)
        out.assert_guards_intact()

        out = Guarded(x_in_format.shape, dtype)
        actual = ops.average_pool2d_gradient(
            guarded_copy(in_format(grad, data_format).astype(dtype)).array,
            x_in_format.shape,
            out=out.array,
            **options,
        )
        wanted = in_format(dx, data_format), in_format(dx_magnitude, data_format)
        assert_within_bound(actual, *wanted, terms)
        out.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_averages_of_whole_numbers_over_powers_of_two_are_exact(dtype: type) -> None:
    for size in (1, 2, (4, 2)):
        x = integers(0, 2, 9, 11, 19)
        expected = reference.average_pool2d(x, size)
        grad = integers(1, *expected.shape)
        assert_equal(ops.average_pool2d(x.astype(dtype), size), expected.astype(dtype))
        assert_equal(
            ops.average_pool2d_gradient(grad.astype(dtype), x.shape, size),
            reference.average_pool2d_gradient(grad, x.shape, size).astype(dtype),
        )


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_bits_do_not_depend_on_the_thread_count(
    case: PoolCase, dtype: type, data_format: str
) -> None:
    x = in_format(reals(0, *case.x), data_format).astype(dtype)
    layout = {"data_format": data_format}

    def everything(count: int) -> tuple[np.ndarray, ...]:
        threads: dict[str, Any] = {"num_threads": count, **layout}
        y, argmax = ops.max_pool2d(x, return_argmax=True, **threads, **case.options)
        grad = reals(1, *y.shape).astype(dtype)
        return (
            y,
            argmax,
            ops.max_pool2d_gradient(grad, argmax, x.shape, **threads),
            ops.average_pool2d(x, **threads, **case.average_options),
            ops.average_pool2d_gradient(grad, x.shape, **threads, **case.average_options),
        )

    serial, *others = map(everything, (1, 2, 3, 2))
    y, argmax = reference.max_pool2d(x, return_argmax=True, **layout, **case.options)
    assert_equal(serial[0], y)
    assert_equal(serial[1], argmax)
    for results in others:
        for array, wanted in zip(results, serial, strict=True):
            assert_same_bits(array, wanted)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", POOLINGS, ids=str)
def test_nan_infinities_and_ties_follow_the_rules(case: PoolCase, dtype: type) -> None:
    rng = np.random.default_rng(5)
    x = rng.choice([np.nan, -np.inf, np.inf, 0.0, 1.0], case.x, p=[0.05, 0.75, 0.05, 0.1, 0.05])
    expected, codes = reference.max_pool2d(x, return_argmax=True, **case.options)
    y, argmax = ops.max_pool2d(x.astype(dtype), return_argmax=True, **case.options)
    assert_equal(y, expected.astype(dtype))
    assert_equal(argmax, codes)
    assert_equal(ops.max_pool2d(x.astype(dtype), **case.options), expected.astype(dtype))
    if case.has_average:
        mean = ops.average_pool2d(x.astype(dtype), **case.average_options)
        wanted = reference.average_pool2d(x, **case.average_options)
        assert_equal(np.isnan(mean), np.isnan(wanted))
        assert_equal(mean == np.inf, wanted == np.inf)
        assert_equal(mean == -np.inf, wanted == -np.inf)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("channels", "aligned"), [(32, True), (32, False), (20, True)])
@pytest.mark.parametrize(("size", "strides"), [(2, 2), (3, 2), ((1, 2), 1)])
def test_what_the_caches_do_not_hold(
    size: Any, strides: int, channels: int, aligned: bool, dtype: type
) -> None:
    # From 24 MiB on whole, aligned cache lines are streamed; of an image alone nothing is.
    item = np.dtype(dtype).itemsize
    x = reals(3, (24 << 20) // (101 * 50 * channels * item) + 1, 101, 50, channels).astype(dtype)
    options: dict[str, Any] = {"strides": strides, "num_threads": 2}
    alone = [ops.max_pool2d(i[None], size, return_argmax=True, **options) for i in x]
    maxima, codes = (np.concatenate(parts) for parts in zip(*alone, strict=True))
    offset = 64 // item - 1 if aligned else 0
    guards = [Guarded((array.size + offset,), dtype) for array in (maxima, x)]
    y, dx = (
        guard.array[offset:].reshape(array.shape)
        for guard, array in zip(guards, (maxima, x), strict=True)
    )
    assert y.ctypes.data % 64 == dx.ctypes.data % 64 == (0 if aligned else item)
    argmax = ops.max_pool2d(x, size, return_argmax=True, out=y, **options)[1]
    assert_same_bits(y, maxima)
    assert_equal(argmax, codes)
    ops.max_pool2d_gradient(y, argmax, x.shape, out=dx, num_threads=2)
    for image, grad, places in zip(dx, maxima[:, None], codes[:, None], strict=True):
        assert_same_bits(image, ops.max_pool2d_gradient(grad, places, (1, *image.shape))[0])
    mean = ops.average_pool2d(x, size, **options)
    ops.average_pool2d_gradient(mean, x.shape, size, out=dx, **options)
    shares = [
        ops.average_pool2d_gradient(m[None], (1, *x.shape[1:]), size, **options) for m in mean
    ]
    assert_same_bits(dx, np.concatenate(shares))
    for guard in guards:
        guard.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_windows_of_minus_infinity_have_valid_codes(dtype: type) -> None:
    for case in POOLINGS:
        x = np.full(case.x, -np.inf, dtype)
        y, argmax = ops.max_pool2d(x, return_argmax=True, **case.options)
        assert (y == -np.inf).all()
        cells = int(np.prod(case.x[1:]))
        assert argmax.min(initial=0) >= 0
        assert argmax.max(initial=0) < cells
        dx = ops.max_pool2d_gradient(np.ones_like(y), argmax, case.x)
        assert dx.sum() == y.size


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_identical_channels_give_identical_outputs(dtype: type) -> None:
    plane = reals(0, 2, 7, 8, 1).astype(dtype)
    plane[0, 3, 3] = np.nan
    for channels in range(1, 68):
        x = np.repeat(plane, channels, axis=3)
        y, argmax = ops.max_pool2d(x, 3, strides=2, padding=1, return_argmax=True)
        results = [
            y,
            argmax - np.arange(channels),
            ops.max_pool2d_gradient(np.ones_like(y), argmax, x.shape),
            ops.average_pool2d(x, 3, strides=2, padding=1),
            ops.average_pool2d_gradient(np.ones_like(y), x.shape, 3, strides=2, padding=1),
        ]
        for result in results:
            first = np.repeat(result[..., :1], channels, axis=3)
            assert_same_bits(result, first, f"{channels} channels")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_image_of_a_batch_equals_the_image_alone(dtype: type, num_threads: int) -> None:
    x = reals(0, 5, 26, 26, 32).astype(dtype)
    y, argmax = ops.max_pool2d(x, return_argmax=True, num_threads=num_threads)
    mean = ops.average_pool2d(x, 3, num_threads=num_threads)
    for image in range(5):
        one = slice(image, image + 1)
        y_alone, argmax_alone = ops.max_pool2d(x[one].copy(), return_argmax=True)
        assert_same_bits(y[one], y_alone)
        assert_same_bits(argmax[one], argmax_alone)
        assert_same_bits(mean[one], ops.average_pool2d(x[one].copy(), 3))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_adds_up_what_falls_on_one_cell(dtype: type) -> None:
    grad = integers(0, 2, 5, 6, 19)
    codes = np.random.default_rng(1).integers(0, 7 * 8 * 19, grad.shape)
    codes[0] = 7 * 8 * 19 - 1
    expected = reference.max_pool2d_gradient(grad, codes, (2, 7, 8, 19))
    dx = ops.max_pool2d_gradient(grad.astype(dtype), codes, (2, 7, 8, 19))
    assert_equal(dx, expected.astype(dtype))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_far_below_the_last_window_is_zero(dtype: type) -> None:
    """As many rows and columns as 3x3 windows at a stride of 2 can leave over."""
    x = reals(0, 2, 21, 21, 17)
    y, codes = reference.max_pool2d(x, 3, strides=2, return_argmax=True)
    row, column, channel = codes // (21 * 17), codes // 17 % 21, codes % 17
    grad = integers(1, *y.shape)
    codes = (row * 24 + column) * 17 + channel
    expected = reference.max_pool2d_gradient(grad, codes, (2, 24, 24, 17))
    dx = ops.max_pool2d_gradient(grad.astype(dtype), codes, (2, 24, 24, 17))
    assert_equal(dx, expected.astype(dtype))


GATHERED = (
    PoolCase("apart", (3, 13, 15, 40)),
    PoolCase("overlapping", (2, 27, 25, 40), 3, 2, padding=1),
    PoolCase("overlapping_unpadded", (2, 28, 27, 33), 3, 2),
    PoolCase("overlapping_same", (2, 26, 28, 32), 3, 2, padding="same"),
    PoolCase("stride_1", (2, 12, 11, 33), 3, 1, padding="same"),
    PoolCase("gaps", (3, 26, 29, 40), 2, 3),
    PoolCase("global", (70, 7, 5, 66), (7, 5)),
)
"""Enough maxima that their gradient is gathered, rather than each added where it belongs."""


@pytest.mark.usefixtures("isa")
def test_strides_far_beyond_the_image_take_no_time() -> None:
    """Microseconds; a loop over the remainders of such a stride takes a minute and more."""
    x = np.ones((1, 6, 5, 1), np.float32)
    start = time.perf_counter()
    for strides in ((2**31 - 1, 1), (1, 2**31 - 1)):
        y, argmax = ops.max_pool2d(x, (2, 3), strides=strides, return_argmax=True)
        assert ops.max_pool2d_gradient(y, argmax, x.shape).sum() == y.size
        mean = ops.average_pool2d_gradient(np.ones_like(y), x.shape, (2, 3), strides=strides)
        assert mean.sum() == pytest.approx(y.size, rel=1e-6)
        kernel = np.ones((2, 3, 1, 1), np.float32)
        gradients = ops.conv2d_gradients(x, kernel, np.ones_like(y), strides=strides)
        assert gradients.x.sum() == gradients.kernel.sum() == 6 * y.size
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", GATHERED, ids=str)
def test_gradient_of_maxima_inside_and_outside_their_windows(case: PoolCase, dtype: type) -> None:
    x = reals(0, *case.x)
    y, argmax = reference.max_pool2d(x, return_argmax=True, **case.options)
    grad = integers(1, *y.shape)
    mean = ops.average_pool2d_gradient(grad.astype(dtype), x.shape, **case.average_options)
    exact = reference.average_pool2d_gradient(grad, x.shape, **case.average_options)
    magnitude = reference.average_pool2d_gradient(abs(grad), x.shape, **case.average_options)
    assert_within_bound(mean, exact, magnitude, int(np.prod(case.pool_size)) ** 2 + 1)

    moved = argmax.copy()
    moved[-1, -1, -1, -1] = 0
    # The end of a row, as if it were the pixel before the next one's first.
    beside = argmax.copy()
    width, channels = x.shape[2:]
    row = argmax[-1, -1, 0, -1] // (width * channels)
    beside[-1, -1, 0, -1] = row * width * channels - 1
    for codes in (argmax, moved, beside):
        expected = reference.max_pool2d_gradient(grad, codes, x.shape).astype(dtype)
        for threads in (1, 3):
            dx = ops.max_pool2d_gradient(grad.astype(dtype), codes, x.shape, num_threads=threads)
            assert_equal(dx, expected)
            assert not np.signbit(dx[dx == 0]).any()
    for outside in (-1, x[0].size, 2**32, 2**32 + int(argmax[0, 0, 0, 0]), -(2**32)):
        moved[0, 0, 0, 0] = outside
        with pytest.raises(ValueError, match="outside the image"):
            ops.max_pool2d_gradient(grad.astype(dtype), moved, x.shape)


@pytest.mark.usefixtures("isa")
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    case=poolings(),
    data_format=st.sampled_from(DATA_FORMATS),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 3),
)
def test_any_shape(case: PoolCase, data_format: str, dtype: type, seed: int) -> None:
    x = integers(seed, *case.x)
    options: dict[str, Any] = {"data_format": data_format}
    expected, codes = reference.max_pool2d(x, return_argmax=True, **case.options)
    x_in_format = in_format(x, data_format).astype(dtype)
    y, argmax = ops.max_pool2d(x_in_format, return_argmax=True, **options, **case.options)
    assert_equal(y, in_format(expected, data_format).astype(dtype))
    assert_equal(argmax, in_format(codes, data_format))
    grad = integers(seed + 1, *expected.shape)
    dx = ops.max_pool2d_gradient(
        in_format(grad, data_format).astype(dtype), argmax, x_in_format.shape, **options
    )
    wanted = reference.max_pool2d_gradient(grad, codes, x.shape)
    assert_equal(dx, in_format(wanted, data_format).astype(dtype))
