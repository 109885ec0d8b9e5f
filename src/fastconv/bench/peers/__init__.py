"""The contestants. A new one is a module here and a row in `PEERS`.

A module is imported in the process of its contestant alone, and has these functions as far as its
row names modes for them:

- `configure(threads)`: called first;
- `train(network, batches, mode)`, `predict(network, inputs, mode)`,
  `operate(case, operands, mode)`, where `operands()` makes them: make a `Job` of a case.
  NotImplementedError says that the library or the mode has no such thing.

Libraries come by `importlib.import_module`, because they need not be there when types are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import util

from fastconv.bench.cases import Task

__all__ = ["EXACT", "OURS", "PEERS", "Peer"]


@dataclass(frozen=True)
class Peer:
    """A library in one way of using it.

    Attributes:
        title: as tables name it.
        module: where its functions are.
        requires: what must be importable, and the distribution that has it.
        modes: for each task the ways of doing it, each of which is measured.
        environment: variables of its process.
        held_by_isa: whether `--isa` reaches all of its kernels.
    """

    title: str
    module: str
    requires: Mapping[str, str]
    modes: Mapping[Task, tuple[str, ...]]
    environment: Mapping[str, str] = field(default_factory=dict)
    held_by_isa: bool = True

    @property
    def install(self) -> str:
        """The command that installs what it needs."""
        return f"pip install {' '.join(dict.fromkeys(self.requires.values()))}"

    @property
    def missing(self) -> list[str]:
        """What it needs and is not installed."""
        return [name for name in self.requires if util.find_spec(name) is None]


def _of_package(name: str) -> str:
    return f"{__name__}.{name}"


LAYOUTS = ("channels last", "contiguous")
COMPILE = {
    # Processes that compile would stay, and hold memory.
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    # Code for another instruction set or number of threads would come back, and be wrong or slow.
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
}
KERAS: dict[Task, tuple[str, ...]] = {
    "train": ("train_on_batch", "fit"),
    "predict": ("predict_on_batch", "compiled call"),
}

OURS = "fastconv"

EXACT = "float64, strict"
"""A mode of ours, not to be measured: operations whose results others are compared with."""

PEERS = {
    OURS: Peer(
        "fastconv",
        _of_package("ours"),
        {},
        {
            "train": ("train_on_batch", "fit"),
            "predict": ("predict_on_batch",),
            "ops": ("ops", "as in training"),
        },
    ),
    "numpy": Peer(
        "NumPy reference",
        _of_package("numpy_reference"),
        {"numpy": "numpy"},
        {"train": ("float64 sums",), "predict": ("float64 sums",), "ops": ("float64 sums",)},
    ),
    "torch": Peer(
        "PyTorch",
        _of_package("torch_eager"),
        {"torch": "torch"},
        {"train": LAYOUTS, "predict": LAYOUTS, "ops": ("eager",)},
    ),
    "torch-compile": Peer(
        "PyTorch, compiled",
        _of_package("torch_compiled"),
        {"torch": "torch"},
        {"train": LAYOUTS, "predict": LAYOUTS},
        COMPILE,
    ),
    "keras-tensorflow": Peer(
        "Keras on TensorFlow",
        _of_package("keras_any"),
        {"keras": "keras", "tensorflow": "tensorflow-cpu"},
        KERAS,
        {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"},
    ),
    "keras-jax": Peer(
        "Keras on JAX",
        _of_package("keras_any"),
        {"keras": "keras", "jax": "jax"},
        KERAS,
        {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    ),
    "keras-torch": Peer(
        "Keras on PyTorch",
        _of_package("keras_any"),
        {"keras": "keras", "torch": "torch"},
        KERAS,
        {"KERAS_BACKEND": "torch", **COMPILE},
    ),
    "jax": Peer(
        "JAX, jit",
        _of_package("jax_jit"),
        {"jax": "jax"},
        {"train": LAYOUTS, "predict": LAYOUTS},
        {"JAX_PLATFORMS": "cpu"},
    ),
    "onnxruntime": Peer(
        "ONNX Runtime",
        _of_package("onnx_runtime"),
        {"onnxruntime": "onnxruntime", "onnx": "onnx"},
        {"predict": ("all optimisations",)},
        held_by_isa=False,
    ),
    "openvino": Peer(
        "OpenVINO",
        _of_package("open_vino"),
        {"openvino": "openvino", "onnx": "onnx"},
        {"predict": ("float32, latency",)},
    ),
}
"""By the name that `--against` takes."""
