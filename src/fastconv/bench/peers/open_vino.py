"""OpenVINO on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fastconv.bench.job import Job, prediction_job
from fastconv.bench.models import Network
from fastconv.bench.peers.onnx_model import images, onnx_model

openvino: Any = importlib.import_module("openvino")

_options: dict[str, Any] = {
    # bfloat16 where the processor has it would be another calculation.
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",
}


def configure(threads: int) -> None:
    """Use so many threads in models from now on."""
    _options["INFERENCE_NUM_THREADS"] = threads


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:  # noqa: ARG001
    """Probabilities, or logits of networks that end in them."""
    core = openvino.Core()
    model = core.read_model(onnx_model(network, len(inputs[0])))
    request = core.compile_model(model, "CPU", _options).create_infer_request()

    def run(x: Any) -> Any:
        return request.infer([x], share_inputs=True, share_outputs=True)[0]

    return prediction_job(run, [images(x) for x in inputs])
