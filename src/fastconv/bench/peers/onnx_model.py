"""A network as an ONNX model, for the engines that read it."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from fastconv.bench.models import Conv, Dense, Flatten, MaxPool, Network

OPSET = 17
IR_VERSION = 10


def onnx_model(network: Network, batch: int) -> bytes:
    """The model from `images` `(batch, C, H, W)` to `result`, serialised.

    The size of the batch is fixed, so that an engine can plan for it.
    """
    onnx: Any = importlib.import_module("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes: list[Any] = []
    constants: list[Any] = []
    flattened: tuple[int, int, int] | None = None
    x = "images"

    def add(kind: str, *arrays: Any, **attributes: Any) -> None:
        nonlocal x
        names = [f"weight{len(constants) + i}" for i in range(len(arrays))]
        constants.extend(map(numpy_helper.from_array, map(np.ascontiguousarray, arrays), names))
        result = f"result{len(nodes)}"
        nodes.append(helper.make_node(kind, [x, *names], [result], **attributes))
        x = result

    for step in network.steps:
        match step:
            case Conv(kernel, bias, relu):
                add("Conv", kernel.transpose(3, 2, 0, 1), bias)
                if relu:
                    add("Relu")
            case MaxPool(size):
                add("MaxPool", kernel_shape=[size, size], strides=[size, size])
            case Flatten(shape):
                flattened = shape
                add("Flatten")
            case Dense(kernel, bias, relu):
                if flattened is not None:
                    # The model flattens channels first.
                    units = kernel.shape[1]
                    rows = kernel.reshape(*flattened, units).transpose(2, 0, 1, 3)
                    kernel, flattened = rows.reshape(-1, units), None
                add("Gemm", kernel, bias)
                if relu:
                    add("Relu")
    if network.softmax:
        add("Softmax", axis=1)
    height, width, channels = network.input_shape
    value_info, kind = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        network.name,
        [value_info("images", kind, [batch, channels, height, width])],
        [value_info(x, kind, [batch, network.classes])],
        constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def images(x: Any) -> Any:
    """`(N, H, W, C)` as `(N, C, H, W)`."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
