"""Operations on NumPy arrays by `fastconv.ops` or `fastconv.reference`: one interface."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from fastconv.bench.cases import Case, Layout
from fastconv.bench.data import Operands
from fastconv.bench.job import Job, operation_job
from fastconv.bench.layer_sets import find_layer
from fastconv.bench.workloads import Conv, Dense, Pooling

__all__ = ["job"]


def job(functions: ModuleType, case: Case, operands: Operands) -> Job:
    """The operation on images in the layout of the case."""
    layer = find_layer(case.subject)
    if isinstance(layer, Dense):
        return operation_job(_dense(functions, case.operation, operands))
    last = case.layout == "channels_last"
    if not last:
        x, grad = (
            np.ascontiguousarray(array.transpose(0, 3, 1, 2))
            for array in (operands.x, operands.grad)
        )
        operands = operands._replace(x=x, grad=grad)
    of_image = last or case.operation.endswith("kernel-gradient")
    make = _pooling if isinstance(layer, Pooling) else _convolution
    run = make(functions, case.operation, layer, operands, case.layout)  # type: ignore[arg-type]
    return operation_job(run, np.array if of_image else lambda y: y.transpose(0, 2, 3, 1))


def _convolution(
    functions: ModuleType, operation: str, layer: Conv, operands: Operands, layout: Layout
) -> Callable[[], Any]:
    x, kernel, bias, grad = operands
    options: dict[str, Any] = {
        "strides": layer.strides,
        "padding": layer.padding,
        "groups": layer.groups,
        "data_format": layout,
    }
    if operation == "forward":
        return lambda: functions.conv2d(x, kernel, bias, **options)
    wrt = ("kernel",) if operation.endswith("kernel-gradient") else ("x",)
    if not operation.startswith("fused"):
        return lambda: getattr(
            functions.conv2d_gradients(x, kernel, grad, wrt=wrt, **options), wrt[0]
        )
    assert layer.pool is not None
    options |= {"pool_size": layer.pool.size, "pool_strides": layer.pool.strides}

    def forward() -> Any:
        return functions.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **options)

    if operation == "fused-forward":
        return lambda: forward()[0]
    y, argmax = forward()
    return lambda: getattr(
        functions.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y, wrt=wrt, **options),
        wrt[0],
    )


def _dense(functions: ModuleType, operation: str, operands: Operands) -> Callable[[], Any]:
    x, kernel, bias, grad = operands
    if operation == "dense-forward":
        return lambda: functions.matmul(x, kernel, bias)
    if operation == "dense-kernel-gradient":
        return lambda: functions.matmul(x, grad, transpose_a=True)
    return lambda: functions.matmul(grad, kernel, transpose_b=True)


def _pooling(
    functions: ModuleType, operation: str, layer: Pooling, operands: Operands, layout: Layout
) -> Callable[[], Any]:
    x, grad = operands.x, operands.grad
    options: dict[str, Any] = {
        "strides": layer.strides,
        "padding": ((layer.padding, layer.padding),) * 2,
        "data_format": layout,
    }
    if operation == "average-pool":
        return lambda: functions.average_pool2d(x, layer.size, **options)
    if operation == "average-pool-gradient":
        return lambda: functions.average_pool2d_gradient(grad, x.shape, layer.size, **options)

    def forward() -> Any:
        return functions.max_pool2d(x, layer.size, return_argmax=True, **options)

    if operation == "max-pool":
        return lambda: forward()[0]
    _, argmax = forward()
    return lambda: functions.max_pool2d_gradient(grad, argmax, x.shape, data_format=layout)
