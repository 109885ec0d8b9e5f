"""ONNX Runtime on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fastconv.bench.job import Job, prediction_job
from fastconv.bench.models import Network
from fastconv.bench.peers.onnx_model import images, onnx_model

onnxruntime: Any = importlib.import_module("onnxruntime")

_threads = 1


def configure(threads: int) -> None:
    """Use so many threads in sessions from now on."""
    global _threads
    _threads = threads


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:  # noqa: ARG001
    """Probabilities, or logits of networks that end in them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads
    model = onnx_model(network, len(inputs[0]))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(x: Any) -> Any:
        return session.run(None, {"images": x})[0]

    return prediction_job(run, [images(x) for x in inputs])
