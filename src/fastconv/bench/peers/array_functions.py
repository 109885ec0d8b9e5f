"""Operations on NumPy arrays by `fastconv.ops` or `fastconv.reference`: one interface."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from fastconv.bench.data import Operands
from fastconv.bench.workloads import Conv, Dense

__all__ = ["call"]


def call(
    functions: ModuleType, operation: str, layer: Conv | Dense, operands: Operands
) -> Callable[[], Any]:
    """The operation as a call without arguments. What a gradient needs is computed here."""
    if isinstance(layer, Dense):
        return _dense(functions, operation, operands)
    if operation.startswith("max-pool"):
        return _max_pool(functions, operation, layer, operands)
    x, kernel, bias, grad = operands
    options: dict[str, Any] = {
        "strides": layer.strides,
        "padding": layer.padding,
        "groups": layer.groups,
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


def _max_pool(
    functions: ModuleType, operation: str, layer: Conv, operands: Operands
) -> Callable[[], Any]:
    x, grad = operands.x, operands.grad
    assert layer.pool is not None
    size, strides = layer.pool

    def forward() -> Any:
        return functions.max_pool2d(x, size, strides=strides, return_argmax=True)

    if operation == "max-pool":
        return lambda: forward()[0]
    _, argmax = forward()
    return lambda: functions.max_pool2d_gradient(grad, argmax, x.shape)
