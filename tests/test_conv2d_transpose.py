"""The native transposed convolution, on every instruction-set level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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

# x, kernel (kh, kw, out_channels, in_channels), options
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 5, 6, 7), (3, 3, 5, 7), {}),
    "wide": ((2, 5, 6, 33), (3, 2, 65, 33), {}),
    "1x1_image": ((2, 1, 1, 5), (3, 3, 4, 5), {}),
    "stride_2": ((2, 5, 6, 3), (3, 3, 4, 3), {"strides": 2}),
    "stride_2_same": ((2, 5, 6, 3), (3, 3, 4, 3), {"strides": 2, "padding": "same"}),
    "even_same": ((2, 5, 6, 3), (4, 2, 4, 3), {"strides": (2, 1), "padding": "same"}),
    "stride_above_kernel": ((2, 3, 4, 3), (2, 1, 4, 3), {"strides": 3}),
    "stride_above_kernel_same": ((2, 3, 4, 3), (2, 1, 4, 3), {"strides": 3, "padding": "same"}),
    "output_padding": ((2, 3, 4, 3), (3, 3, 4, 3), {"strides": 3, "output_padding": (2, 1)}),
    "output_padding_same": (
        (2, 3, 4, 3),
        (3, 3, 4, 3),
        {"strides": 2, "output_padding": 1, "padding": "same"},
    ),
    "explicit": ((2, 4, 5, 3), (3, 4, 4, 3), {"strides": 2, "padding": ((1, 0), (2, 1))}),
    "dilation": ((2, 4, 5, 3), (3, 2, 4, 3), {"dilation_rate": (2, 3)}),
    "dilation_stride": ((2, 4, 5, 3), (3, 2, 4, 3), {"dilation_rate": 2, "strides": 3}),
    "empty_batch": ((0, 4, 5, 3), (3, 2, 4, 3), {}),
    "parallel": ((5, 14, 14, 48), (3, 3, 33, 48), {"strides": 2, "padding": "same"}),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
Case = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@cases
def test_integers_are_exact(case: Case, dtype: type, num_threads: int) -> None:
    x_shape, kernel_shape, options = case
    x, kernel, bias = (
        integers(0, *x_shape),
        integers(1, *kernel_shape),
        integers(2, kernel_shape[2]),
    )
    for activation, b in ((None, None), ("relu", bias.astype(dtype))):
        wanted = reference.conv2d_transpose(
            x, kernel, None if b is None else bias, activation=activation, **options
        )
        for data_format in DATA_FORMATS:
            expected = in_format(wanted, data_format).astype(dtype)
            out = Guarded(expected.shape, dtype)
            y = ops.conv2d_transpose(
                guarded_copy(in_format(x, data_format).astype(dtype)).array,
                guarded_copy(kernel.astype(dtype)).array,
                b,
                activation=activation,
                data_format=data_format,
                out=out.array,
                num_threads=num_threads,
                **options,
            )
            assert_equal(y, expected, data_format)
            out.assert_guards_intact()


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("dtype", DTYPES)
@cases
def test_real_values_are_within_the_bound(case: Case, dtype: type) -> None:
    x_shape, kernel_shape, options = case
    x, kernel, bias = reals(0, *x_shape), reals(1, *kernel_shape), reals(2, kernel_shape[2])
    arguments = [array.astype(dtype) for array in (x, kernel, bias)]
    serial, *others = (
        ops.conv2d_transpose(*arguments, num_threads=count, **options) for count in (1, 2, 3)
    )
    for y in others:
        assert_same_bits(y, serial)
    assert_within_bound(
        serial,
        reference.conv2d_transpose(x, kernel, bias, **options),
        reference.conv2d_transpose(abs(x), abs(kernel), abs(bias), **options),
        int(np.prod(kernel_shape)) // kernel_shape[2],
    )
