"""The native fused convolution, activation and pooling, on every instruction-set level."""

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
from support.bounds import assert_within_bound, gamma
from support.cases import CONVOLUTIONS, ConvCase
from support.data import fused_data, real_data
from support.strategies import convolutions

NAMES = Conv2DGradients._fields
ACTIVATIONS = ("relu", None)
Options = tuple[tuple[str, Any], ...]
PLAIN: Options = (("pool_size", 2), ("pool_strides", None))


def conv_size(case: ConvCase) -> tuple[int, int]:
    """Height and width of the convolution's result."""
    shape = reference.conv2d(
        np.zeros((0, *case.x[1:])), np.zeros(case.kernel), **case.options
    ).shape
    return shape[1], shape[2]


# Kernel gradients of few channels, in whole vectors of filters; one is computed in bands.
FEW = (
    ConvCase("cifar_first", (3, 32, 30, 3), (3, 3, 3, 32), padding="same"),
    ConvCase("few_in_bands", (1, 70, 91, 3), (3, 3, 3, 16), padding=1),
    ConvCase("four_channels", (2, 11, 12, 4), (3, 3, 4, 48)),
    ConvCase("few_5x5", (2, 17, 14, 1), (5, 5, 1, 32)),
    ConvCase("few_5x5_padded", (2, 16, 15, 3), (5, 5, 3, 48), padding=((2, 1), (0, 4))),
    ConvCase("few_5x5_four_channels", (2, 9, 8, 4), (5, 5, 4, 16), padding="same"),
)
POOLABLE = tuple(case for case in CONVOLUTIONS if min(conv_size(case)) >= 2) + FEW
POOLS: dict[str, Options] = {
    "size_3": (("pool_size", 3), ("pool_strides", None)),
    "overlapping": (("pool_size", 3), ("pool_strides", 2)),
    "stride_1": (("pool_size", 2), ("pool_strides", 1)),
    "gaps": (("pool_size", 2), ("pool_strides", 3)),
    "rectangular": (("pool_size", (1, 3)), ("pool_strides", (2, 1))),
    "size_1": (("pool_size", 1), ("pool_strides", None)),
}
# Bands of the convolution's result overlap, or leave rows out between them.
BANDED = {"plain": PLAIN, **{name: POOLS[name] for name in ("overlapping", "stride_1", "gaps")}}
MIXED = tuple(case for case in POOLABLE[::8] if min(conv_size(case)) >= 3)
PARALLEL = (
    ConvCase("batch_of_m1_first", (11, 28, 28, 1), (3, 3, 1, 32)),
    ConvCase("batch_of_m1_second", (5, 13, 13, 32), (3, 3, 32, 64)),
    ConvCase("one_large_image", (1, 31, 33, 16), (3, 3, 16, 40), padding="same"),
    ConvCase("strided_groups", (5, 31, 31, 16), (5, 5, 4, 48), strides=2, padding=2, groups=4),
    ConvCase("several_bands", (1, 66, 70, 5), (3, 3, 5, 64)),
    ConvCase("batch_of_few", (37, 16, 14, 3), (3, 3, 3, 32), padding="same"),
    ConvCase("batch_of_5x5", (19, 16, 15, 2), (5, 5, 2, 32), padding=1),
    # Threads share the channels.
    ConvCase("one_of_many_channels", (1, 16, 15, 128), (3, 3, 128, 32), padding="same"),
    ConvCase("three_of_many_channels", (3, 13, 14, 64), (3, 3, 64, 48)),
)


def check(case: ConvCase, dtype: type, activation: str | None, pool: Options) -> None:
    """Compare results, codes and gradients in both data formats, tolerance 0."""
    data = fused_data(case, activation, pool)
    kernel, bias = data.kernel.astype(dtype), data.bias.astype(dtype)
    for data_format in DATA_FORMATS:
        options: dict[str, Any] = {"data_format": data_format, "activation": activation}
        options |= {**case.options, **dict(pool)}
        what = f"{data_format}, activation {activation}, pool {dict(pool)}"
        x = guarded_copy(in_format(data.x, data_format).astype(dtype)).array
        out = Guarded(in_format(data.y, data_format).shape, dtype)
        y, argmax = ops.conv2d_max_pool2d(
            x, kernel, bias, return_argmax=True, out=out.array, **options
        )
        assert y is out.array
        assert_equal(y, in_format(data.y, data_format).astype(dtype), what)
        assert_equal(argmax, in_format(data.argmax, data_format), what)
        out.assert_guards_intact()
        assert_equal(ops.conv2d_max_pool2d(x, kernel, bias, **options), y, f"{what}, no argmax")

        expected = (in_format(data.dx, data_format), data.dkernel, data.dbias)
        results = [Guarded(array.shape, dtype) for array in expected]
        gradients = ops.conv2d_max_pool2d_gradients(
            x,
            kernel,
            guarded_copy(in_format(data.grad, data_format).astype(dtype)).array,
            guarded_copy(argmax).array,
            guarded_copy(y).array,
            out=Conv2DGradients(*(guarded.array for guarded in results)),
            **options,
        )
        for name, array, wanted, guarded in zip(NAMES, gradients, expected, results, strict=True):
            assert array is guarded.array
            assert_equal(array, wanted.astype(dtype), f"gradient of {name}, {what}")
            guarded.assert_guards_intact()
        assert_equal(x, in_format(data.x, data_format).astype(dtype), "x was modified")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", POOLABLE, ids=str)
def test_integers_are_exact(case: ConvCase, dtype: type) -> None:
    for activation in ACTIVATIONS:
        check(case, dtype, activation, PLAIN)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS.keys())
@pytest.mark.parametrize("case", MIXED, ids=str)
def test_any_pooling_is_exact(case: ConvCase, pool: Options, dtype: type) -> None:
    check(case, dtype, "relu", pool)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", PARALLEL, ids=str)
@pytest.mark.parametrize("pool", BANDED.values(), ids=BANDED.keys())
def test_integers_are_exact_in_parallel(
    case: ConvCase, dtype: type, pool: Options, num_threads: int
) -> None:
    data = fused_data(case, "relu", pool)
    x, kernel, bias, grad = (
        array.astype(dtype) for array in (data.x, data.kernel, data.bias, data.grad)
    )
    threads: dict[str, Any] = {"num_threads": num_threads, **case.options, **dict(pool)}
    y, argmax = ops.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **threads)
    assert_equal(y, data.y.astype(dtype))
    assert_equal(argmax, data.argmax)
    gradients = ops.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y, **threads)
    for name, array, wanted in zip(
        NAMES, gradients, (data.dx, data.dkernel, data.dbias), strict=True
    ):
        assert_equal(array, wanted.astype(dtype), f"gradient of {name}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_maxima_of_other_channels_in_parallel(dtype: type, num_threads: int) -> None:
    x, kernel = integers(0, 1, 34, 34, 8).astype(dtype), integers(1, 3, 3, 8, 64).astype(dtype)
    grad, y = integers(2, 1, 16, 16, 64).astype(dtype), np.ones((1, 16, 16, 64), dtype)
    argmax = np.random.default_rng(3).integers(0, 32 * 32 * 64, y.shape)
    wanted = reference.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y)
    gradients = ops.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y, num_threads=num_threads)
    for name, array, exact in zip(NAMES, gradients, wanted, strict=True):
        assert_equal(array, exact, f"gradient of {name}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", PARALLEL, ids=str)
def test_bits_do_not_depend_on_the_thread_count(
    case: ConvCase, dtype: type, data_format: str
) -> None:
    x = in_format(reals(0, *case.x), data_format).astype(dtype)
    kernel, bias = reals(1, *case.kernel).astype(dtype), reals(2, case.kernel[3]).astype(dtype)

    def everything(count: int) -> tuple[np.ndarray, ...]:
        options: dict[str, Any] = {"num_threads": count, "data_format": data_format}
        options |= case.options
        y, argmax = ops.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **options)
        grad = reals(3, *y.shape).astype(dtype)
        return y, argmax, *ops.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y, **options)

    serial, *others = map(everything, (1, 2, 3, 2))
    for results in others:
        for array, wanted in zip(results, serial, strict=True):
            assert_same_bits(array, wanted)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_alignment(dtype: type) -> None:
    x, kernel = reals(0, 64, 9, 9, 32).astype(dtype), reals(1, 3, 3, 32, 32).astype(dtype)
    y, argmax = ops.conv2d_max_pool2d(x, kernel, return_argmax=True)
    grad = reals(2, *y.shape).astype(dtype)
    room = np.empty(x.size + 64 // x.itemsize, dtype)
    first = -room.ctypes.data % 64 // x.itemsize
    results = []
    for shift in (0, 1):
        moved = room[first + shift :][: x.size].reshape(x.shape)
        moved[...] = x
        assert moved.ctypes.data % 64 == shift * x.itemsize
        results.append(ops.conv2d_max_pool2d_gradients(moved, kernel, grad, argmax, y))
    for array, wanted in zip(*results, strict=True):
        assert_same_bits(array, wanted)


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*MIXED[::2], *PARALLEL[1:3]], ids=str)
def test_real_values_are_within_the_bound(
    case: ConvCase, dtype: type, activation: str | None
) -> None:
    data = real_data(case)
    x, kernel, bias, magnitude = data.x, data.kernel, data.bias, data.y_magnitude
    middle = np.maximum(data.y, 0) if activation == "relu" else data.y
    narrow = [array.astype(dtype) for array in (x, kernel, bias)]
    options: dict[str, Any] = {"activation": activation, **case.options}
    y, argmax = ops.conv2d_max_pool2d(*narrow, return_argmax=True, **options)

    # Whichever cell won, the result is that cell's sum; ReLU brings no two numbers further apart.
    images = np.arange(len(x))[:, None]

    def chosen(array: np.ndarray) -> np.ndarray:
        return array.reshape(len(x), -1)[images, argmax.reshape(len(x), -1)].reshape(y.shape)

    assert_within_bound(y, chosen(middle), chosen(magnitude), case.terms)
    # No other cell of the window is larger by more than the errors of both.
    slack = 4 * gamma(case.terms + 2, dtype) * reference.max_pool2d(magnitude)
    assert (reference.max_pool2d(middle) - chosen(middle) <= slack).all()

    grad = reals(3, *y.shape)
    gradients = ops.conv2d_max_pool2d_gradients(
        *narrow[:2], grad.astype(dtype), argmax, y, **options
    )
    expected = reference.conv2d_max_pool2d_gradients(
        x, kernel, grad, argmax, y.astype(np.float64), **options
    )
    sizes = reference.conv2d_max_pool2d_gradients(
        abs(x), abs(kernel), abs(grad), argmax, y.astype(np.float64), **options
    )
    kernel_height, kernel_width, _, filters = case.kernel
    outputs = middle[..., 0].size
    terms = (kernel_height * kernel_width * filters // case.groups, outputs, outputs)
    for values in zip(gradients, expected, sizes, terms, strict=True):
        assert_within_bound(*values)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_image_of_a_batch_equals_the_image_alone(dtype: type, num_threads: int) -> None:
    for case in (
        ConvCase("m1_first", (5, 28, 28, 1), (3, 3, 1, 32)),
        ConvCase("m1_second", (5, 13, 13, 32), (3, 3, 32, 64)),
        ConvCase("tails", (5, 12, 9, 17), (3, 3, 17, 19), padding="same"),
    ):
        x, kernel, bias = (
            array.astype(dtype)
            for array in (reals(0, *case.x), reals(1, *case.kernel), reals(2, case.kernel[3]))
        )
        options: dict[str, Any] = {"return_argmax": True, **case.options}
        y, argmax = ops.conv2d_max_pool2d(x, kernel, bias, num_threads=num_threads, **options)
        for image in range(5):
            one = slice(image, image + 1)
            y_alone, argmax_alone = ops.conv2d_max_pool2d(x[one].copy(), kernel, bias, **options)
            assert_same_bits(y[one], y_alone, f"{case}, image {image}")
            assert_same_bits(argmax[one], argmax_alone, f"{case}, image {image}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_identical_filters_give_identical_outputs(dtype: type) -> None:
    x, weights = reals(0, 2, 8, 9, 5).astype(dtype), reals(1, 3, 3, 5, 1).astype(dtype)
    for filters in range(1, 68):
        kernel = np.repeat(weights, filters, axis=3)
        y, argmax = ops.conv2d_max_pool2d(x, kernel, return_argmax=True)
        assert_same_bits(y, np.repeat(y[..., :1], filters, axis=3), f"{filters} filters")
        cells = (argmax - np.arange(filters)) // filters
        assert_same_bits(cells, np.repeat(cells[..., :1], filters, axis=3), f"{filters} filters")


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_wins_its_windows(dtype: type, activation: str | None) -> None:
    for case in (
        ConvCase("plain", (3, 10, 9, 5), (3, 3, 5, 19)),
        ConvCase("one_channel", (3, 10, 9, 1), (3, 3, 1, 32)),
        ConvCase("padded", (3, 10, 9, 16), (3, 3, 16, 16), padding="same"),
    ):
        x, kernel, bias = (
            integers(0, *case.x),
            integers(1, *case.kernel),
            integers(2, case.kernel[3]),
        )
        x[1, 4, 5, 0] = np.nan
        options: dict[str, Any] = {"activation": activation, "return_argmax": True}
        options |= case.options
        expected, codes = reference.conv2d_max_pool2d(x, kernel, bias, **options)
        y, argmax = ops.conv2d_max_pool2d(
            *(array.astype(dtype) for array in (x, kernel, bias)), **options
        )
        assert_equal(y, expected.astype(dtype), str(case))
        assert_equal(argmax, codes, str(case))
        grad = integers(3, *y.shape)
        gradients = ops.conv2d_max_pool2d_gradients(
            *(array.astype(dtype) for array in (integers(0, *case.x), kernel, grad)),
            argmax,
            y,
            activation=activation,
            **case.options,
        )
        wanted = reference.conv2d_max_pool2d_gradients(
            integers(0, *case.x),
            kernel,
            grad,
            codes,
            expected,
            activation=activation,
            **case.options,
        )
        for array, value in zip(gradients, wanted, strict=True):
            assert_equal(array, value.astype(dtype), str(case))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("wrt", [("x",), ("kernel",), ("bias",), ("bias", "x"), ()])
def test_each_gradient_is_the_same_alone(wrt: tuple[str, ...]) -> None:
    case = PARALLEL[1]
    x, kernel = reals(0, *case.x).astype(np.float32), reals(1, *case.kernel).astype(np.float32)
    y, argmax = ops.conv2d_max_pool2d(x, kernel, return_argmax=True)
    arguments = (x, kernel, reals(2, *y.shape).astype(np.float32), argmax, y)
    everything = ops.conv2d_max_pool2d_gradients(*arguments)
    some = ops.conv2d_max_pool2d_gradients(*arguments, wrt=wrt)
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
    pool_size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pool_strides=st.one_of(st.none(), st.tuples(st.integers(1, 3), st.integers(1, 3))),
    dtype=st.sampled_from(DTYPES),
    activation=st.sampled_from(ACTIVATIONS),
)
def test_any_shape(
    case: ConvCase,
    pool_size: tuple[int, int],
    pool_strides: tuple[int, int] | None,
    dtype: type,
    activation: str | None,
) -> None:
    height, width = conv_size(case)
    size = min(pool_size[0], height), min(pool_size[1], width)
    x, kernel, bias = integers(0, *case.x), integers(1, *case.kernel), integers(2, case.kernel[3])
    options: dict[str, Any] = {"pool_size": size, "pool_strides": pool_strides}
    options |= {"activation": activation, **case.options}
    expected, codes = reference.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **options)
    narrow = [array.astype(dtype) for array in (x, kernel, bias)]
    y, argmax = ops.conv2d_max_pool2d(*narrow, return_argmax=True, **options)
    assert_equal(y, expected.astype(dtype))
    assert_equal(argmax, codes)
    grad = integers(3, *y.shape)
    wanted = reference.conv2d_max_pool2d_gradients(x, kernel, grad, codes, expected, **options)
    gradients = ops.conv2d_max_pool2d_gradients(
        *narrow[:2], grad.astype(dtype), argmax, y, **options
    )
    for array, value in zip(gradients, wanted, strict=True):
        assert_equal(array, value.astype(dtype))
