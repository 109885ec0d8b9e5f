"""Fast convolutional networks on CPUs, with Keras' layers and functions on NumPy arrays.

`import fastconv as keras` runs models written for Keras; `fastconv.ops` works on arrays alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastconv import (
    _core,
    activations,
    callbacks,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
    utils,
)
from fastconv.config import (
    active_isa,
    available_isas,
    cache_info,
    clear_cache,
    get_num_threads,
    get_precision,
    num_threads,
    set_num_threads,
    set_precision,
    show_config,
    use_isa,
)
from fastconv.layers import Input, Layer
from fastconv.models import Model, Sequential

if TYPE_CHECKING:
    from fastconv import datasets, reference, saving

__all__ = [
    "Input",
    "Layer",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "active_isa",
    "available_isas",
    "cache_info",
    "callbacks",
    "clear_cache",
    "datasets",
    "get_num_threads",
    "get_precision",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "num_threads",
    "ops",
    "optimizers",
    "reference",
    "regularizers",
    "saving",
    "set_num_threads",
    "set_precision",
    "show_config",
    "use_isa",
    "utils",
]

__version__ = _core.version

_LAZY = ("datasets", "reference", "saving")


def __getattr__(name: str) -> Any:
    """Import on first use what training and prediction do not need."""
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"fastconv.{name}")
    raise AttributeError(f"module 'fastconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
