"""What the tests of Winograd without pooling share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import ops, reference
from support.arrays import assert_equal, assert_same_bits, integers
from support.cases import ConvCase
from support.data import real_data


def gradient_of_x(x: Any, kernel: Any, grad: Any, case: ConvCase, num_threads: int = 1) -> Any:
    """The input gradient alone."""
    return ops.conv2d_gradients(
        x, kernel, grad, wrt=("x",), num_threads=num_threads, **case.options
    ).x


def gradient_of_kernel(x: Any, grad: Any, case: ConvCase, num_threads: int = 1) -> Any:
    """The kernel gradient alone."""
    kernel = np.zeros(case.kernel, x.dtype)
    return ops.conv2d_gradients(
        x, kernel, grad, wrt=("kernel",), num_threads=num_threads, **case.options
    ).kernel


def tiles(case: ConvCase) -> int:
    """Tiles of all results."""
    images, height, width, _ = real_data(case).y.shape
    return images * ((height + 1) // 2) * ((width + 1) // 2)


def real_arrays(case: ConvCase, dtype: Any = np.float32) -> tuple[Any, Any, Any, Any]:
    """x, kernel, bias and the gradient of the result."""
    data = real_data(case)
    return tuple(array.astype(dtype) for array in (data.x, data.kernel, data.bias, data.grad))


def paddings(case: ConvCase) -> Any:
    """((top, bottom), (left, right))."""
    if case.padding == "valid":
        return ((0, 0), (0, 0))
    if case.padding == "same":
        return tuple(((size - 1) // 2, size // 2) for size in case.kernel[:2])
    if isinstance(case.padding, int):
        return ((case.padding, case.padding),) * 2
    return case.padding


def assert_direct_where_not_finite(case: ConvCase, value: float) -> None:
    """As in a direct sum: NaN and infinity where they are read, and no overflow elsewhere."""
    options: dict[str, Any] = {"activation": "relu", **case.options}
    x, kernel = integers(1, *case.x), integers(2, *case.kernel)
    weights = kernel.astype(np.float32)
    for place in ((0, 0, 0), (-1, -1, -1), tuple(extent // 2 for extent in case.x[1:])):
        spoilt = x.copy()
        spoilt[(len(x) - 1, *place)] = value
        with np.errstate(all="ignore"):
            expected = reference.conv2d(spoilt, kernel, **options).astype(np.float32)
        spoilt = spoilt.astype(np.float32)
        y = ops.conv2d(spoilt, weights, **options)
        assert_equal(np.isnan(y), np.isnan(expected))
        # 3e38 plus integers: rounded in both, but not in the same way
        finite = abs(expected) < 1e30
        assert_equal(y[finite], expected[finite])
        assert_equal(np.isinf(y), np.isinf(expected))
        for count in (2, 3, 8):
            assert_same_bits(ops.conv2d(spoilt, weights, num_threads=count, **options), y)
