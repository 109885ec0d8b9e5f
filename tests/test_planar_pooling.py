"""Average pooling of (N, C, H, W) images and the gradients of poolings, plane by plane."""

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
    in_format,
    integers,
    reals,
)
from support.bounds import assert_within_bound
from support.cases import PoolCase

# Rows of windows of less than a vector, of one and of several, on every instruction-set level;
# planes in numbers that are and are not whole vectors.
CASES = (
    PoolCase("stride_1", (2, 7, 50, 3), 3, 1),
    PoolCase("stride_1_padded", (1, 5, 97, 2), 3, 1, padding="same"),
    PoolCase("stride_2", (2, 9, 66, 3), 2, 2),
    PoolCase("stride_2_of_odd_width", (2, 9, 31, 5), 2, 2),
    PoolCase("stride_2_padded", (2, 11, 101, 3), 3, 2, padding=1),
    PoolCase("one_window_a_row", (3, 60, 2, 5), 2, (30, 2)),
    PoolCase("few_windows_a_row", (2, 60, 9, 5), 2, (30, 2)),
    PoolCase("global_of_15_planes", (3, 7, 7, 5), 7),
    PoolCase("global_of_192_planes", (4, 5, 6, 48), (5, 6)),
    PoolCase("global_of_few_cells", (2, 1, 2, 24), (1, 2)),
    PoolCase("global_of_one_plane", (1, 20, 21, 1), (20, 21)),
    PoolCase("size_3", (2, 17, 29, 5), 3),
    PoolCase("rectangular", (2, 9, 22, 5), (2, 5)),
    PoolCase("one_channel_stride_3", (2, 9, 70, 1), 2, 3),
)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_within_the_bound_with_any_number_of_threads(case: PoolCase, dtype: type) -> None:
    options: dict[str, Any] = case.average_options
    x = reals(0, *case.x)
    y = reference.average_pool2d(x, **options)
    grad = reals(1, *y.shape)
    dx = reference.average_pool2d_gradient(grad, x.shape, **options)
    y_magnitude = reference.average_pool2d(abs(x), **options)
    dx_magnitude = reference.average_pool2d_gradient(abs(grad), x.shape, **options)
    # A sum in any order, and one rounding for the division.
    size = case.pool_size if isinstance(case.pool_size, tuple) else (case.pool_size,) * 2
    terms = size[0] * size[1] + 1

    planar: dict[str, Any] = {"data_format": "channels_first", **options}
    x_planar = guarded_copy(in_format(x, "channels_first").astype(dtype)).array
    grad_planar = guarded_copy(in_format(grad, "channels_first").astype(dtype)).array
    for threads in (1, 3):
        out = Guarded(in_format(y, "channels_first").shape, dtype)
        actual = ops.average_pool2d(x_planar, out=out.array, num_threads=threads, **planar)
        wanted = in_format(y, "channels_first"), in_format(y_magnitude, "channels_first")
        assert_within_bound(actual, *wanted, terms)
        out.assert_guards_intact()
        dx_out = Guarded(x_planar.shape, dtype)
        gradient = ops.average_pool2d_gradient(
            grad_planar, x_planar.shape, out=dx_out.array, num_threads=threads, **planar
        )
        wanted = in_format(dx, "channels_first"), in_format(dx_magnitude, "channels_first")
        assert_within_bound(gradient, *wanted, terms)
        dx_out.assert_guards_intact()
        if threads == 1:
            serial, serial_gradient = actual.copy(), gradient.copy()
        assert_same_bits(actual, serial)
        assert_same_bits(gradient, serial_gradient)


@pytest.mark.usefixtures("isa")
def test_global_mean_of_what_is_not_finite() -> None:
    x = np.zeros((1, 3, 7, 7), np.float32)
    x[0, 0, 3, 3], x[0, 1, 6, 6] = np.nan, -np.inf
    y = ops.average_pool2d(x, 7, data_format="channels_first").ravel()
    assert np.isnan(y[0])
    assert y[1:].tolist() == [-np.inf, 0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 7, 64])
@pytest.mark.parametrize("any_channel", [False, True])
def test_gradient_of_maxima_at_any_places(dtype: type, channels: int, any_channel: bool) -> None:
    shape = (2, 9, 11, channels)
    grad = integers(0, 2, 5, 6, channels)
    pixels = np.random.default_rng(1).integers(0, 9 * 11, grad.shape)
    argmax = pixels * channels + np.arange(channels)
    if any_channel:
        argmax[1, 4, 5] = argmax[1, 4, 5, ::-1]
    expected = reference.max_pool2d_gradient(grad, argmax, shape).astype(dtype)
    planar_shape = (2, channels, 9, 11)
    for threads in (1, 3):
        out = Guarded(planar_shape, dtype)
        ops.max_pool2d_gradient(
            guarded_copy(in_format(grad, "channels_first").astype(dtype)).array,
            guarded_copy(in_format(argmax, "channels_first")).array,
            planar_shape,
            data_format="channels_first",
            out=out.array,
            num_threads=threads,
        )
        assert_equal(out.array, in_format(expected, "channels_first"))
        out.assert_guards_intact()


@pytest.mark.parametrize("code", [-1, 9 * 11 * 3, 2**63 - 1, -(2**63)])
def test_codes_outside_the_image_are_refused(code: int) -> None:
    argmax = np.zeros((1, 3, 2, 2), np.int64) + np.arange(3).reshape(1, 3, 1, 1)
    argmax[0, 1, 1, 1] = code
    with pytest.raises(ValueError, match="argmax"):
        ops.max_pool2d_gradient(
            np.ones(argmax.shape), argmax, (1, 3, 9, 11), data_format="channels_first"
        )
