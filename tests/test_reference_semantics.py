"""The table of fixed semantics, row by row, on the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastconv import reference

NAN, INF = math.nan, math.inf


def image(*rows: list[float]) -> np.ndarray:
    """One image with one channel."""
    return np.array(rows, np.float32)[None, :, :, None]


def ones(height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.ones((1, height, width, channels), np.float32)


def kernel_of_ones(height: int, width: int) -> np.ndarray:
    return np.ones((height, width, 1, 1), np.float32)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        (5, 3, 1, 1, 3),
        (5, 3, 2, 1, 2),
        (6, 3, 2, 1, 2),
        (7, 3, 2, 1, 3),
        (7, 3, 1, 2, 3),
        (8, 3, 2, 2, 2),
        (3, 3, 9, 1, 1),
        (5, 3, 1, 2, 1),
    ],
)
def test_valid_output_size(
    size: int, kernel: int, stride: int, dilation: int, expected: int
) -> None:
    y = reference.conv2d(
        ones(size, 20), kernel_of_ones(kernel, 1), strides=stride, dilation_rate=dilation
    )
    assert y.shape[1] == expected


@pytest.mark.parametrize(("size", "kernel", "dilation"), [(2, 3, 1), (4, 3, 2), (1, 2, 1)])
def test_valid_output_size_below_one_is_an_error(size: int, kernel: int, dilation: int) -> None:
    with pytest.raises(ValueError, match=r"conv2d: the height and width of x .* below 1"):
        reference.conv2d(ones(size, 9), kernel_of_ones(kernel, 1), dilation_rate=(dilation, 1))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "before", "after"),
    [
        (5, 3, 1, 1, 1, 1),
        (5, 2, 1, 1, 0, 1),
        (5, 4, 1, 1, 1, 2),
        (5, 3, 2, 1, 1, 1),
        (6, 3, 2, 1, 0, 1),
        (6, 2, 3, 1, 0, 0),
        (7, 2, 3, 1, 0, 1),
        (5, 3, 1, 2, 2, 2),
        (6, 2, 1, 3, 1, 2),
    ],
)
def test_same_pads_to_ceil_with_the_odd_pixel_at_the_end(
    size: int, kernel: int, stride: int, dilation: int, before: int, after: int
) -> None:
    x = np.arange(1.0, size + 1).reshape(1, 1, size, 1)
    weights = 10.0 ** np.arange(kernel).reshape(1, kernel, 1, 1)
    options = {"strides": (1, stride), "dilation_rate": (1, dilation)}
    y = reference.conv2d(x, weights, padding="same", **options)
    assert y.shape[2] == -(-size // stride)
    padded = np.pad(x, ((0, 0), (0, 0), (before, after), (0, 0)))
    np.testing.assert_array_equal(y, reference.conv2d(padded, weights, **options))


@pytest.mark.parametrize(
    ("short", "full"),
    [
        (2, ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        (np.array([1, 2]), ((1, 1), (2, 2))),
        ("valid", ((0, 0), (0, 0))),
    ],
)
def test_forms_of_padding(short: object, full: object) -> None:
    x, kernel = np.arange(20.0).reshape(1, 4, 5, 1), np.arange(6.0).reshape(2, 3, 1, 1)
    y = reference.conv2d(x, kernel, padding=short)
    np.testing.assert_array_equal(y, reference.conv2d(x, kernel, padding=full))


def test_explicit_padding_is_top_bottom_then_left_right() -> None:
    y = reference.conv2d(image([1.0]), kernel_of_ones(1, 1), padding=((1, 2), (3, 4)))
    assert y.shape == (1, 4, 8, 1)
    assert np.argwhere(y).tolist() == [[0, 1, 3, 0]]


def test_padding_is_never_chosen() -> None:
    x = image([-3.0, -2.0], [-5.0, -7.0])
    y, argmax = reference.max_pool2d(x, 2, strides=1, padding=1, return_argmax=True)
    assert y[0, :, :, 0].tolist() == [[-3, -2, -2], [-3, -2, -2], [-5, -5, -7]]
    assert argmax[0, :, :, 0].tolist() == [[0, 1, 1], [0, 1, 1], [2, 2, 3]]


def test_first_maximum_in_row_order_wins() -> None:
    x = image([1.0, 2.0, 2.0], [2.0, 1.0, 2.0])
    _, argmax = reference.max_pool2d(x, (2, 3), return_argmax=True)
    assert argmax.item() == 1
    assert reference.max_pool2d(image([0.0, -0.0]), (1, 2), return_argmax=True)[1].item() == 0
    assert reference.max_pool2d(image([-0.0, 0.0]), (1, 2), return_argmax=True)[1].item() == 0


def test_first_nan_wins_and_its_index_is_valid() -> None:
    for cells, expected in (
        ([INF, NAN, 5.0, NAN], 1),
        ([NAN, INF, 5.0, 1.0], 0),
        ([1.0, 2.0, 3.0, NAN], 3),
    ):
        y, argmax = reference.max_pool2d(image(cells), (1, 4), return_argmax=True)
        assert math.isnan(y.item())
        assert argmax.item() == expected


def test_all_minus_infinity_has_the_index_of_its_first_cell() -> None:
    x = image([-INF, -INF], [-INF, -INF])
    y, argmax = reference.max_pool2d(x, 2, strides=1, padding=1, return_argmax=True)
    assert (y == -INF).all()
    assert argmax[0, :, :, 0].tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3]]


@pytest.mark.parametrize(
    ("size", "pool", "stride", "padding", "floor", "ceil"),
    [
        (11, 2, 2, 0, 5, 6),
        (12, 2, 2, 0, 6, 6),
        (8, 3, 2, 0, 3, 4),
        (7, 2, 3, 0, 2, 3),
        # A window that would start behind the image is not kept.
        (6, 2, 3, 0, 2, 2),
        (4, 2, 3, 1, 2, 2),
        (5, 3, 3, 1, 2, 2),
        (5, 3, 2, 1, 3, 3),
    ],
)
def test_ceil_mode_keeps_partial_windows(
    size: int, pool: int, stride: int, padding: int, floor: int, ceil: int
) -> None:
    x = ones(size, 1)
    options = {"strides": (stride, 1), "padding": (padding, 0)}
    assert reference.max_pool2d(x, (pool, 1), **options).shape[1] == floor
    assert reference.max_pool2d(x, (pool, 1), ceil_mode=True, **options).shape[1] == ceil


def test_ceil_mode_changes_nothing_for_same() -> None:
    x = np.arange(35.0).reshape(1, 5, 7, 1)
    kept = reference.max_pool2d(x, 3, strides=2, padding="same", ceil_mode=True)
    np.testing.assert_array_equal(kept, reference.max_pool2d(x, 3, strides=2, padding="same"))


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (4, {"padding": 2}),
        (4, {"padding": ((0, 3), (0, 0))}),
        (1, {"padding": "same", "dilation_rate": 3, "strides": 1}),
        (2, {"padding": ((2, 2), (0, 0)), "dilation_rate": (4, 1), "strides": 1}),
    ],
)
def test_window_without_a_cell_is_an_error(size: int, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="padding leaves a window without a cell of the image"):
        reference.max_pool2d(ones(size, 4), 2, **options)


def test_average_leaves_the_padding_out_of_the_count() -> None:
    x = image([1.0, 2.0, 6.0], [3.0, 10.0, 2.0])
    y = reference.average_pool2d(x, 2, padding="same")
    assert y[0, :, :, 0].tolist() == [[4.0, 4.0]]
    y = reference.average_pool2d(x, 2, strides=2, padding=((1, 1), (0, 1)))
    assert y[0, :, :, 0].tolist() == [[1.5, 6.0], [6.5, 2.0]]


def test_relu_keeps_nan_and_its_gradient_is_zero_at_zero() -> None:
    x = np.float32([NAN, -INF, -1, -0.0, 0, 1, INF])
    np.testing.assert_array_equal(reference.relu(x), np.float32([NAN, 0, 0, 0, 0, 1, INF]))
    grad = np.full(7, 5, np.float32)
    assert reference.relu_gradient(grad, x).tolist() == [0, 0, 0, 0, 0, 5, 5]
    y = reference.conv2d(image([NAN, -1.0]), kernel_of_ones(1, 1), activation="relu")
    np.testing.assert_array_equal(y[0, 0, :, 0], [NAN, 0])


def test_argmax_code_counts_rows_columns_channels_in_both_formats() -> None:
    x = np.zeros((2, 4, 6, 3), np.float32)
    x[1, 2, 5, 1] = 9
    _, argmax = reference.max_pool2d(x, 2, return_argmax=True)
    assert argmax[1, 1, 2, 1] == (2 * 6 + 5) * 3 + 1
    first = np.moveaxis(x, 3, 1)
    _, argmax_first = reference.max_pool2d(
        first, 2, return_argmax=True, data_format="channels_first"
    )
    np.testing.assert_array_equal(np.moveaxis(argmax_first, 1, 3), argmax)


def test_empty_batch_gives_empty_results_and_zero_gradients() -> None:
    x, kernel = np.zeros((0, 5, 6, 4)), np.ones((3, 3, 4, 2))
    y = reference.conv2d(x, kernel, np.ones(2))
    assert y.shape == (0, 3, 4, 2)
    dx, dkernel, dbias = reference.conv2d_gradients(x, kernel, y)
    assert dx is not None
    assert dx.shape == x.shape
    assert dkernel is not None
    assert dkernel.shape == kernel.shape
    assert not dkernel.any()
    assert dbias is not None
    assert dbias.tolist() == [0, 0]
    pooled, argmax = reference.max_pool2d(y, return_argmax=True)
    assert pooled.shape == argmax.shape == (0, 1, 2, 2)
    assert reference.max_pool2d_gradient(pooled, argmax, y.shape).shape == y.shape
    assert reference.average_pool2d_gradient(pooled, y.shape).shape == y.shape
    assert reference.conv2d_transpose(x, np.ones((2, 2, 3, 4))).shape == (0, 6, 7, 3)
    assert reference.softmax(np.zeros((0, 3))).shape == (0, 3)
    loss, grad = reference.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert loss.shape == (0,)
    assert grad.shape == (0, 3)
    assert reference.matmul(np.zeros((0, 3)), np.ones((3, 2))).shape == (0, 2)


def test_wrt_leaves_the_others_out() -> None:
    x, kernel, grad = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), np.ones((1, 2, 2, 1))
    dx, dkernel, dbias = reference.conv2d_gradients(x, kernel, grad, wrt=("kernel",))
    assert dx is None
    assert dbias is None
    assert dkernel is not None
    assert (dkernel == 4).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_dtype_of_the_inputs(dtype: type) -> None:
    x, kernel = np.ones((1, 4, 4, 2), dtype), np.ones((3, 3, 2, 2), dtype)
    y = reference.conv2d(x, kernel)
    gradients = reference.conv2d_gradients(x, kernel, y)
    loss, grad = reference.softmax_cross_entropy(x[0, 0], np.zeros(4, np.uint8))
    results = [y, *gradients, reference.max_pool2d(y), reference.average_pool2d(y), loss, grad]
    results += [reference.matmul(x[0, 0], x[0, 0].T.copy()), reference.softmax(x)]
    results += [reference.relu(x), reference.dropout(x, 0.5, seed=1)]
    assert all(result is not None and result.dtype == dtype for result in results)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "output_padding", "expected"),
    [
        (4, 3, 1, "valid", None, 6),
        (4, 3, 2, "valid", None, 9),
        (4, 2, 3, "valid", None, 12),
        (4, 2, 3, "valid", 0, 11),
        (4, 3, 2, "same", None, 8),
        (4, 2, 3, "same", None, 12),
        (4, 3, 2, "same", 0, 7),
        (4, 3, 2, "same", 1, 8),
        (4, 4, 2, "same", 1, 7),
        (4, 3, 2, 1, None, 7),
        (4, 3, 2, 1, 1, 8),
    ],
)
def test_transposed_output_size_as_keras(
    size: int,
    kernel: int,
    stride: int,
    padding: str | int,
    output_padding: int | None,
    expected: int,
) -> None:
    y = reference.conv2d_transpose(
        ones(size, size),
        kernel_of_ones(kernel, kernel),
        strides=stride,
        padding=padding,
        output_padding=output_padding,
    )
    assert y.shape == (1, expected, expected, 1)


def test_transposed_same_is_the_adjoint_of_conv2d_same() -> None:
    rng = np.random.default_rng(0)
    for size, stride, extent in ((4, 2, 3), (3, 3, 4), (5, 1, 2), (2, 3, 2)):
        small = rng.integers(-4, 5, (2, size, size, 3)).astype(np.float64)
        large = rng.integers(-4, 5, (2, size * stride, size * stride, 2)).astype(np.float64)
        kernel = rng.integers(-4, 5, (extent, extent, 2, 3)).astype(np.float64)
        y = reference.conv2d_transpose(small, kernel, strides=stride, padding="same")
        forward = reference.conv2d(large, kernel, strides=stride, padding="same")
        assert (y * large).sum() == (forward * small).sum()
