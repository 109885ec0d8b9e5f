"""Weights in the safetensors format: a table of names, shapes and offsets, and the values.

The names are the places of Keras' HDF5 layout with the names of the weights, such as
"layers/conv2d_1/kernel": they do not depend on the automatic names of layers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastconv._errors import value_error
from fastconv.saving.layout import assign, check_dtypes, check_shapes, places

if TYPE_CHECKING:
    import os

    from fastconv.layers import Variable
    from fastconv.models.model import Model


def write_safetensors(path: str | os.PathLike[str], model: Model) -> None:
    """Write the weights of a model.

    Raises:
        ImportError: safetensors is not installed.
    """
    tensors = {name: variable.numpy() for name, variable in _variables(model).items()}
    _library("safetensors.numpy").save_file(tensors, path)


def read_safetensors(where: str, path: str | os.PathLike[str], model: Model) -> None:
    """Give a model the weights of a file, all of them or, if one does not fit, none.

    Raises:
        ValueError: a weight that differs, or a damaged file.
        ImportError: safetensors is not installed.
    """
    library = _library("safetensors")
    variables = _variables(model)
    try:
        with library.safe_open(path, framework="numpy") as file:
            # The library has checked the table: no overlaps, no gaps, the size of the file.
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _check_names(where, variables, set(shapes))
            check_shapes(where, [(variables[name], shape) for name, shape in shapes.items()])
            values = {name: file.get_tensor(name) for name in shapes}
    except (library.SafetensorError, TypeError) as error:
        expected = "a file of the safetensors format with float32 values"
        raise value_error(where, "the file", "is damaged", expected, error) from error
    check_dtypes(where, [(variables[name], value) for name, value in values.items()])
    for name, value in values.items():
        assign(variables[name], value)


def _variables(model: Model) -> dict[str, Variable]:
    return {
        f"{path}/{variable.name}": variable
        for path, layer in places(model)
        for variable in layer.weights
    }


def _check_names(where: str, variables: dict[str, Variable], names: set[str]) -> None:
    for name, variable in variables.items():
        if name not in names:
            received = ", ".join(sorted(names)) or "nothing"
            rule = "is not in the file"
            raise value_error(where, f"the weight {variable.path}", rule, name, received)
    if unknown := names - set(variables):
        rule, received = "has no place for weights of the file", ", ".join(sorted(unknown))
        raise value_error(where, "the model", rule, ", ".join(variables), received)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = 'files of this format need safetensors: pip install "fastconv[files]"'
        raise ImportError(hint) from error
