"""Single operations in PyTorch, gradients by the functions that autograd calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.bench.cases import Case
from fastconv.bench.data import Operands
from fastconv.bench.job import Job, operation_job
from fastconv.bench.layer_sets import find_layer
from fastconv.bench.peers.torch_network import F, torch
from fastconv.bench.workloads import Conv, Dense, Pooling

aten: Any = torch.ops.aten
FORMATS = {"channels_last": torch.channels_last, "channels_first": torch.contiguous_format}


def job(case: Case, operands: Operands) -> Job:
    """The operation on images in the layout of the case."""
    layer, operation = find_layer(case.subject), case.operation
    if isinstance(layer, Dense):
        return _dense(operation, operands)
    memory_format = FORMATS[case.layout]
    x, grad = (
        torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
        for array in (operands.x, operands.grad)
    )
    if isinstance(layer, Pooling):
        if layer.kind == "average":
            return _average_pool(operation, layer, x, grad, memory_format)
        return _max_pool(operation, layer, x, grad)
    kernel = torch.from_numpy(operands.kernel).permute(3, 2, 0, 1)
    kernel = kernel.contiguous(memory_format=memory_format)
    return _convolution(operation, layer, x, kernel, torch.from_numpy(operands.bias), grad)


def _convolution(operation: str, layer: Conv, x: Any, kernel: Any, bias: Any, grad: Any) -> Job:
    strides, padding = [layer.strides] * 2, [layer.padding] * 2
    of_kernel = operation.endswith("kernel-gradient")
    as_result = as_kernel if of_kernel else as_image

    def conv() -> Any:
        return F.conv2d(x, kernel, bias, layer.strides, layer.padding, 1, layer.groups)

    def gradient(grad: Any) -> Any:
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
    if not operation.startswith("fused"):
        return _job(lambda: gradient(grad), as_result)
    # PyTorch has no such operations: it does one after the other. ReLU behind the pooling gives the
    # same values and gradients, and has a quarter of the work.
    assert layer.pool is not None
    size, pool_strides = [layer.pool.size] * 2, [layer.pool.strides] * 2
    if operation == "fused-forward":
        pool = aten.max_pool2d_with_indices
        return _job(lambda: F.relu(pool(conv(), size, pool_strides)[0], inplace=True), as_image)
    result = conv()
    pooled, indices = aten.max_pool2d_with_indices(result, size, pool_strides)

    def fused_gradient() -> Any:
        passed = aten.threshold_backward(grad, pooled, 0)
        return gradient(
            aten.max_pool2d_with_indices_backward(
                passed, result, size, pool_strides, [0, 0], [1, 1], False, indices
            )
        )

    return _job(fused_gradient, as_result)


def _max_pool(operation: str, layer: Pooling, x: Any, grad: Any) -> Job:
    window = [layer.size] * 2, [layer.strides] * 2, [layer.padding] * 2
    if operation == "max-pool":
        return _job(lambda: aten.max_pool2d_with_indices(x, *window)[0], as_image)
    _, indices = aten.max_pool2d_with_indices(x, *window)
    backward = aten.max_pool2d_with_indices_backward
    return _job(lambda: backward(grad, x, *window, [1, 1], False, indices), as_image)


def _average_pool(operation: str, layer: Pooling, x: Any, grad: Any, memory_format: Any) -> Job:
    window = [layer.size] * 2, [layer.strides] * 2, [layer.padding] * 2
    # For a mean over the whole image PyTorch has several ways: these are its fastest.
    whole = layer.out_height == layer.out_width == 1
    if operation == "average-pool":
        if whole and memory_format == torch.contiguous_format:
            return _job(lambda: F.adaptive_avg_pool2d(x, 1), as_image)
        return _job(lambda: F.avg_pool2d(x, *window, count_include_pad=False), as_image)
    if whole:
        shape, cells = x.shape, layer.height * layer.width
        return _job(
            lambda: (grad / cells).expand(shape).contiguous(memory_format=memory_format), as_image
        )
    backward = aten.avg_pool2d_backward
    return _job(lambda: backward(grad, x, *window, False, False, None), as_image)


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
