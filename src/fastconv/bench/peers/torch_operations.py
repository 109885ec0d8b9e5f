"""Single operations in PyTorch, gradients by the functions that autograd calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.bench.data import Operands
from fastconv.bench.job import Job, operation_job
from fastconv.bench.peers.torch_network import FORMATS, F, image_tensor, torch
from fastconv.bench.workloads import Conv, Dense

aten: Any = torch.ops.aten


def job(operation: str, layer: Conv | Dense, operands: Operands, mode: str) -> Job:
    """The operation in the layout of the mode."""
    if isinstance(layer, Dense):
        if mode != "channels last":
            raise NotImplementedError("dense layers have one layout")
        return _dense(operation, operands)
    x, grad = image_tensor(operands.x, mode), image_tensor(operands.grad, mode)
    kernel = torch.from_numpy(operands.kernel).permute(3, 2, 0, 1)
    kernel = kernel.contiguous(memory_format=FORMATS[mode])
    bias = torch.from_numpy(operands.bias)
    strides, padding = [layer.strides] * 2, [layer.padding] * 2

    def conv() -> Any:
        return F.conv2d(x, kernel, bias, layer.strides, layer.padding, 1, layer.groups)

    def conv_gradient(grad: Any) -> Any:
        of_kernel = operation.endswith("kernel-gradient")
        found = aten.convolution_backward(
            grad,
            x,
            kernel,
            None,
            strides,
            padding,
            [1, 1],
            False,
            [0, 0],
            layer.groups,
            [not of_kernel, of_kernel, False],
        )
        return found[1 if of_kernel else 0]

    if operation == "forward":
        return _job(conv, as_image)
    as_result = as_kernel if operation.endswith("kernel-gradient") else as_image
    if operation.endswith("gradient") and not operation.startswith(("fused", "max-pool")):
        return _job(lambda: conv_gradient(grad), as_result)

    assert layer.pool is not None
    size, pool_strides = [layer.pool.size] * 2, [layer.pool.strides] * 2

    def pool(x: Any) -> Any:
        return aten.max_pool2d_with_indices(x, size, pool_strides)

    def pool_gradient(grad: Any, x: Any, indices: Any) -> Any:
        return aten.max_pool2d_with_indices_backward(
            grad, x, size, pool_strides, [0, 0], [1, 1], False, indices
        )

    if operation == "max-pool":
        return _job(lambda: pool(x)[0], as_image)
    if operation == "max-pool-gradient":
        _, indices = pool(x)
        return _job(lambda: pool_gradient(grad, x, indices), as_image)

    # ReLU behind the pooling gives the same values and gradients, and has a quarter of the work.
    if operation == "fused-forward":
        return _job(lambda: F.relu(pool(conv())[0], inplace=True), as_image)
    result = conv()
    pooled, indices = pool(result)

    def fused_gradient() -> Any:
        passed = aten.threshold_backward(grad, pooled, 0)
        return conv_gradient(pool_gradient(passed, result, indices))

    return _job(fused_gradient, as_result)


def _dense(operation: str, operands: Operands) -> Job:
    x, kernel, bias, grad = (torch.from_numpy(array) for array in operands)
    kernel = kernel.T.contiguous()
    calls = {
        "dense-forward": lambda: F.linear(x, kernel, bias),
        "dense-kernel-gradient": lambda: grad.T @ x,
        "dense-input-gradient": lambda: grad @ kernel,
    }
    transposed = operation == "dense-kernel-gradient"
    return _job(calls[operation], lambda y: (y.T if transposed else y).numpy())


def _job(run: Callable[[], Any], as_array: Callable[[Any], Any]) -> Job:
    return operation_job(torch.inference_mode()(run), as_array)


def as_image(tensor: Any) -> Any:
    """`(N, C, H, W)` as an array `(N, H, W, C)`."""
    return tensor.permute(0, 2, 3, 1).numpy()


def as_kernel(tensor: Any) -> Any:
    """`(out, in, height, width)` as an array `(height, width, in, out)`."""
    return tensor.permute(2, 3, 1, 0).numpy()
