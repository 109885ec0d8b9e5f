"""What the reference refuses: each message names operation, argument, expected and received."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import reference as r
from support.arrays import Guarded

X = np.ones((2, 6, 7, 4), np.float32)
K = np.ones((3, 3, 4, 6), np.float32)
Y = np.ones((2, 4, 5, 6), np.float32)
B = np.ones(6, np.float32)
POOLED = np.ones((2, 3, 3, 4), np.float32)
CODES = np.zeros((2, 3, 3, 4), np.int64)
LOGITS = np.zeros((3, 5), np.float32)
READ_ONLY = np.zeros((2, 4, 5, 6), np.float32)
READ_ONLY.flags.writeable = False
CELLS = np.zeros(2 * 4 * 5 * 6 * 4 + 1, np.uint8)
MISALIGNED = CELLS[1:].view(np.float32).reshape(2, 4, 5, 6)
FORTRAN = np.zeros((2, 4, 5, 6), np.float32, order="F")

VALUE_ERRORS: list[tuple[str, str, Callable[[], Any]]] = [
    ("conv2d", "strides", lambda: r.conv2d(X, K, strides=(0, 1))),
    ("conv2d", "strides", lambda: r.conv2d(X, K, strides=-1)),
    ("conv2d", "strides", lambda: r.conv2d(X, K, strides=(1, 2, 3))),
    ("conv2d", "strides", lambda: r.conv2d(X, K, strides=2**63)),
    ("conv2d", "dilation_rate", lambda: r.conv2d(X, K, dilation_rate=0)),
    ("conv2d", "padding", lambda: r.conv2d(X, K, padding="full")),
    ("conv2d", "padding", lambda: r.conv2d(X, K, padding=-1)),
    ("conv2d", "padding", lambda: r.conv2d(X, K, padding=((1, 2), (3,)))),
    ("conv2d", "padding", lambda: r.conv2d(X, K, padding=((1, 2), (3, -4)))),
    ("conv2d", "groups", lambda: r.conv2d(X, K, groups=0)),
    ("conv2d", "groups", lambda: r.conv2d(X, K, groups=3)),
    ("conv2d", "kernel", lambda: r.conv2d(X, K, groups=2)),
    ("conv2d", "kernel", lambda: r.conv2d(X, K[:, :, :3])),
    ("conv2d", "kernel", lambda: r.conv2d(X, K[0])),
    ("conv2d", "kernel", lambda: r.conv2d(X, K[:0])),
    ("conv2d", "x", lambda: r.conv2d(X[0], K)),
    ("conv2d", "x", lambda: r.conv2d(X[..., :0], K)),
    ("conv2d", "the height and width of x", lambda: r.conv2d(X[:, :2], K)),
    ("conv2d", "the height and width of x", lambda: r.conv2d(X[:, :0], K, padding="same")),
    ("conv2d", "the height and width of x", lambda: r.conv2d(X, K, dilation_rate=2**31 - 1)),
    ("conv2d", "bias", lambda: r.conv2d(X, K, B[:5])),
    ("conv2d", "bias", lambda: r.conv2d(X, K, B[None])),
    ("conv2d", "activation", lambda: r.conv2d(X, K, activation="tanh")),
    ("conv2d", "data_format", lambda: r.conv2d(X, K, data_format="NHWC")),
    ("conv2d", "out", lambda: r.conv2d(X, K, out=np.zeros((2, 4, 5, 5), np.float32))),
    ("conv2d", "out", lambda: r.conv2d(X, K, out=READ_ONLY)),
    ("conv2d", "out", lambda: r.conv2d(X, K, out=MISALIGNED)),
    ("conv2d", "out", lambda: r.conv2d(X, K, out=FORTRAN)),
    ("conv2d", "out", lambda: r.conv2d(Y, K[:1, :1, :1], groups=6, out=Y)),
    ("conv2d_gradients", "grad", lambda: r.conv2d_gradients(X, K, Y[:1])),
    ("conv2d_gradients", "grad", lambda: r.conv2d_gradients(X, K, Y[..., :5])),
    ("conv2d_gradients", "wrt", lambda: r.conv2d_gradients(X, K, Y, wrt=("x", "weights"))),
    (
        "conv2d_gradients",
        "out.bias",
        lambda: r.conv2d_gradients(X, K, Y, out=r.Conv2DGradients(None, None, B[:5])),
    ),
    ("conv2d_transpose", "kernel", lambda: r.conv2d_transpose(X, K)),
    (
        "conv2d_transpose",
        "output_padding",
        lambda: r.conv2d_transpose(Y, K, strides=2, output_padding=2),
    ),
    ("conv2d_transpose", "padding", lambda: r.conv2d_transpose(Y, K, padding=9)),
    ("max_pool2d", "pool_size", lambda: r.max_pool2d(X, 0)),
    ("max_pool2d", "strides", lambda: r.max_pool2d(X, 2, strides=0)),
    ("max_pool2d", "padding", lambda: r.max_pool2d(X, 2, padding=2)),
    ("max_pool2d", "the height and width of x", lambda: r.max_pool2d(X, 8)),
    ("max_pool2d_gradient", "argmax", lambda: r.max_pool2d_gradient(POOLED, CODES - 1, X.shape)),
    ("max_pool2d_gradient", "argmax", lambda: r.max_pool2d_gradient(POOLED, CODES + 168, X.shape)),
    ("max_pool2d_gradient", "argmax", lambda: r.max_pool2d_gradient(POOLED, CODES[:1], X.shape)),
    (
        "max_pool2d_gradient",
        "input_shape",
        lambda: r.max_pool2d_gradient(POOLED, CODES, (3, 6, 7, 4)),
    ),
    ("max_pool2d_gradient", "input_shape", lambda: r.max_pool2d_gradient(POOLED, CODES, (6, 7, 4))),
    ("average_pool2d", "pool_size", lambda: r.average_pool2d(X, (2, 0))),
    ("average_pool2d_gradient", "grad", lambda: r.average_pool2d_gradient(POOLED, (2, 9, 9, 4))),
    ("conv2d_max_pool2d", "activation", lambda: r.conv2d_max_pool2d(X, K, activation="elu")),
    ("conv2d_max_pool2d", "pool_size", lambda: r.conv2d_max_pool2d(X, K, pool_size=0)),
    ("conv2d_max_pool2d", "bias", lambda: r.conv2d_max_pool2d(X, K, B[:5])),
    ("conv2d_max_pool2d", "out", lambda: r.conv2d_max_pool2d(X, K, out=Y)),
    (
        "conv2d_max_pool2d_gradients",
        "argmax",
        lambda: r.conv2d_max_pool2d_gradients(
            X, K, Y[:, :2, :2], np.full((2, 2, 2, 6), 120), Y[:, :2, :2]
        ),
    ),
    (
        "conv2d_max_pool2d_gradients",
        "y",
        lambda: r.conv2d_max_pool2d_gradients(
            X, K, Y[:, :2, :2], np.zeros((2, 2, 2, 6), np.int64), Y
        ),
    ),
    ("matmul", "b", lambda: r.matmul(LOGITS, LOGITS)),
    ("matmul", "a", lambda: r.matmul(X, LOGITS)),
    ("matmul", "bias", lambda: r.matmul(LOGITS, LOGITS, B, transpose_b=True)),
    ("relu_gradient", "y", lambda: r.relu_gradient(LOGITS, LOGITS[0])),
    ("softmax", "x", lambda: r.softmax(np.float32(1))),
    ("softmax", "x", lambda: r.softmax(np.zeros((2, 0)))),
    ("softmax_cross_entropy", "logits", lambda: r.softmax_cross_entropy(X, CODES)),
    (
        "softmax_cross_entropy",
        "labels",
        lambda: r.softmax_cross_entropy(LOGITS, np.array([0, 5, 1])),
    ),
    (
        "softmax_cross_entropy",
        "labels",
        lambda: r.softmax_cross_entropy(LOGITS, np.array([0, -1, 1])),
    ),
    ("softmax_cross_entropy", "labels", lambda: r.softmax_cross_entropy(LOGITS, np.zeros(2, int))),
    ("dropout", "rate", lambda: r.dropout(X, 1.5, seed=0)),
    ("dropout", "rate", lambda: r.dropout(X, float("nan"), seed=0)),
    ("dropout", "seed", lambda: r.dropout(X, 0.5, seed=-1)),
    ("dropout", "offset", lambda: r.dropout(X, 0.5, seed=0, offset=2**64)),
]

TYPE_ERRORS: list[tuple[str, str, Callable[[], Any]]] = [
    ("conv2d", "x", lambda: r.conv2d(X.astype(np.uint8), K)),
    ("conv2d", "x", lambda: r.conv2d(X.astype(np.float16), K)),
    ("conv2d", "x", lambda: r.conv2d(X.astype(np.complex64), K)),
    ("conv2d", "x", lambda: r.conv2d(X.astype(object), K)),
    ("conv2d", "x", lambda: r.conv2d(X.astype(X.dtype.newbyteorder()), K)),
    ("conv2d", "x", lambda: r.conv2d(np.ma.masked_array(X), K)),
    ("conv2d", "x", lambda: r.conv2d(None, K)),
    ("conv2d", "x", lambda: r.conv2d("image", K)),
    ("conv2d", "kernel", lambda: r.conv2d(X, K.astype(np.float64))),
    ("conv2d", "bias", lambda: r.conv2d(X, K, B.astype(np.float64))),
    ("conv2d", "strides", lambda: r.conv2d(X, K, strides=(1, 2.0))),
    ("conv2d", "strides", lambda: r.conv2d(X, K, strides=True)),
    ("conv2d", "strides", lambda: r.conv2d(X, K, strides="12")),
    ("conv2d", "padding", lambda: r.conv2d(X, K, padding=None)),
    ("conv2d", "padding", lambda: r.conv2d(X, K, padding=(1, (2, 3)))),
    ("conv2d", "groups", lambda: r.conv2d(X, K, groups=1.0)),
    ("conv2d", "out", lambda: r.conv2d(X, K, out=[1.0])),
    ("conv2d", "out", lambda: r.conv2d(X, K, out=np.zeros((2, 4, 5, 6)))),
    ("conv2d_gradients", "grad", lambda: r.conv2d_gradients(X, K, Y.astype(np.float64))),
    (
        "max_pool2d_gradient",
        "argmax",
        lambda: r.max_pool2d_gradient(POOLED, CODES.astype(np.int32), X.shape),
    ),
    (
        "max_pool2d_gradient",
        "argmax",
        lambda: r.max_pool2d_gradient(POOLED, CODES.astype(np.float64), X.shape),
    ),
    ("matmul", "b", lambda: r.matmul(LOGITS, LOGITS.astype(np.float64), transpose_b=True)),
    (
        "softmax_cross_entropy",
        "labels",
        lambda: r.softmax_cross_entropy(LOGITS, np.zeros(3, np.float32)),
    ),
    ("dropout", "seed", lambda: r.dropout(X, 0.5, seed=1.0)),
]


def check_message(error: Exception, operation: str, argument: str) -> None:
    form = rf"{operation}: {re.escape(argument)} .+, expected .+, received .+"
    assert re.fullmatch(form, str(error), re.DOTALL), str(error)


@pytest.mark.parametrize(("operation", "argument", "call"), VALUE_ERRORS)
def test_values_are_refused(operation: str, argument: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=operation) as caught:
        call()
    check_message(caught.value, operation, argument)


@pytest.mark.parametrize(("operation", "argument", "call"), TYPE_ERRORS)
def test_types_are_refused(operation: str, argument: str, call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=operation) as caught:
        call()
    check_message(caught.value, operation, argument)


def test_received_is_shortened() -> None:
    with pytest.raises(ValueError, match="received") as caught:
        r.conv2d(X, K, strides=(1,) * 1000)
    assert len(str(caught.value)) < 400


def test_out_is_filled_and_returned() -> None:
    out = Guarded((2, 4, 5, 6), np.float32)
    assert r.conv2d(X, K, B, out=out.array) is out.array
    np.testing.assert_array_equal(out.array, r.conv2d(X, K, B))
    out.assert_guards_intact()


def test_elementwise_operations_work_in_place() -> None:
    for operation in (
        r.relu,
        r.softmax,
        r.log_softmax,
        lambda x, out: r.relu_gradient(x, x, out=out),
    ):
        x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
        expected = operation(x.copy(), out=None)
        assert operation(x, out=x) is x
        np.testing.assert_array_equal(x, expected)


def test_overlap_in_part_is_refused_in_place_too() -> None:
    cells = np.zeros(10, np.float32)
    with pytest.raises(ValueError, match="relu: out overlaps an input"):
        r.relu(cells[:8], out=cells[2:])
