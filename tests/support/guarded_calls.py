"""Every operation on arrays beside forbidden pages; `python guarded_calls.py LEVEL` runs it.

A process of its own, as one element too far would end it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fastconv
from fastconv import ops, reference
from fastconv.ops import Conv2DGradients
from support.arrays import DTYPES, integers
from support.cases import CONVOLUTIONS, POOLINGS
from support.guard_pages import beside_guard_page

MATRICES = (
    (1, 1, 1),
    (5, 7, 3),
    (17, 33, 9),
    (33, 16, 65),
    (67, 31, 47),
    (64, 64, 64),
    (131, 201, 100),
)


def convolutions(place: Callable[[Any], Any]) -> None:
    for case in CONVOLUTIONS:
        x, kernel = place(integers(0, *case.x)), place(integers(1, *case.kernel))
        bias = place(integers(2, case.kernel[3]))
        shape = reference.conv2d(np.zeros((0, *case.x[1:])), np.zeros(case.kernel), **case.options)
        y = place(np.zeros((case.x[0], *shape.shape[1:])))
        ops.conv2d(x, kernel, bias, out=y, **case.options)
        out = Conv2DGradients(*(place(np.zeros(array.shape)) for array in (x, kernel, bias)))
        ops.conv2d_gradients(x, kernel, y, out=out, **case.options)
        if min(y.shape[1:3]) < 2:
            continue
        pooled, argmax = ops.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **case.options)
        pooled = place(pooled)
        ops.conv2d_max_pool2d(x, kernel, bias, out=pooled, **case.options)
        ops.conv2d_max_pool2d_gradients(
            x, kernel, place(pooled), place(argmax), pooled, out=out, **case.options
        )


def poolings(place: Callable[[Any], Any]) -> None:
    for case in POOLINGS:
        x, dx = place(integers(0, *case.x)), place(np.zeros(case.x))
        y, argmax = ops.max_pool2d(x, return_argmax=True, **case.options)
        y = place(y)
        ops.max_pool2d(x, out=y, **case.options)
        ops.max_pool2d_gradient(y, place(argmax), x.shape, out=dx)
        if case.has_average:
            ops.average_pool2d(x, out=y, **case.average_options)
            ops.average_pool2d_gradient(y, x.shape, out=dx, **case.average_options)


def matrices(place: Callable[[Any], Any]) -> None:
    for rows, depth, columns in MATRICES:
        a, b = place(integers(0, rows, depth)), place(integers(1, depth, columns))
        bias, y = place(integers(2, columns)), place(np.zeros((rows, columns)))
        ops.matmul(a, b, bias, out=y)
        ops.matmul(place(a.T.copy()), b, transpose_a=True, out=y)
        ops.matmul(a, place(b.T.copy()), transpose_b=True, out=y)
        loss, grad = place(np.zeros(rows)), place(np.zeros(y.shape))
        ops.softmax_cross_entropy(y, place(np.zeros(rows, np.int64)), out=(loss, grad))
        ops.softmax_cross_entropy(y, place(np.ones(y.shape)), out=(loss, grad))


def elementwise(place: Callable[[Any], Any]) -> None:
    for size in range(1, 70):
        x, y = place(integers(0, size)), place(np.zeros(size))
        for operation in (ops.relu, ops.softmax, ops.log_softmax):
            operation(x, out=y)
        ops.relu_gradient(x, x, out=y)
        ops.dropout(x, 0.5, seed=1, out=y)


def placed(array: Any, dtype: type, at_end: bool) -> Any:
    """`array` beside a forbidden page, floats as `dtype`."""
    kind = dtype if array.dtype.kind == "f" else array.dtype
    return beside_guard_page(array.astype(kind), at_end=at_end)


def main(level: str) -> None:
    with fastconv.use_isa(level):
        assert fastconv.active_isa() == level
        for dtype in DTYPES:
            for at_end in (True, False):
                place = partial(placed, dtype=dtype, at_end=at_end)
                for group in (convolutions, poolings, matrices, elementwise):
                    group(place)


if __name__ == "__main__":
    main(sys.argv[1])
