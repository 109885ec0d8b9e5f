"""What the tests of Winograd without pooling share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import ops
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
        return ((1, 1), (1, 1))
    if isinstance(case.padding, int):
        return ((case.padding, case.padding),) * 2
    return case.padding
