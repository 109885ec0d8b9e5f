"""Where Keras 3 keeps the weights of a model in an HDF5 file.

The n-th weight of a layer, those that train first, is `layers/<place>/vars/<n>`. The place is the
class of the layer in snake case, numbered from the second layer of that class on: `conv2d`,
`conv2d_1`. It does not depend on the name of the layer, which is an attribute of `vars`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error
from fastconv.layers.naming import snake_case

if TYPE_CHECKING:
    from fastconv.layers import Layer, Variable
    from fastconv.models.model import Model
    from fastconv.saving.hdf5 import StoredArrays

_RANDOM_STATE = "fastconv_random_state"
"""Attribute of a layer's `vars`: seed and offset. Keras takes no notice of it."""
_NOT_WEIGHTS = "/seed_generator/vars/"
"""Where some versions of Keras put the state of random layers."""


def places(model: Model) -> list[tuple[str, Layer]]:
    """For each layer of a model the path of its group, such as "layers/conv2d_1"."""
    counts: dict[str, int] = {}
    found = []
    for layer in model.layers:
        kind = snake_case(type(layer).__name__)
        count = counts.get(kind, 0)
        counts[kind] = count + 1
        found.append((f"layers/{kind}_{count}" if count else f"layers/{kind}", layer))
    return found


def write_weights(file: Any, model: Model) -> None:
    """Write the weights of a model into an open HDF5 file."""
    file.create_group("vars").attrs["name"] = model.name
    for path, layer in places(model):
        group = file.create_group(f"{path}/vars")
        group.attrs["name"] = layer.name
        if layer.random_state is not None:
            group.attrs[_RANDOM_STATE] = np.array(layer.random_state, np.uint64)
        for index, variable in enumerate(layer.weights):
            group[str(index)] = variable.value


def checked_weights(where: str, model: Model, arrays: StoredArrays) -> Callable[[], None]:
    """Read the weights of a model; the result gives them to it.

    Raises:
        ValueError: a layer or a weight that differs; the message names it.
    """
    unread = {
        path for path in arrays.shapes if path.startswith("layers/") and _NOT_WEIGHTS not in path
    }
    found: list[tuple[Variable, str]] = []
    states = []
    for path, layer in places(model):
        variables = layer.weights
        stored = [f"{path}/vars/{index}" for index in range(len(variables))]
        received = {name for name in unread if name.startswith(f"{path}/")}
        if received != set(stored):
            expected = [(variable.name, variable.shape) for variable in variables]
            shapes = [arrays.shapes[name] for name in sorted(received)]
            rule = f"has other weights than {path} in the file"
            raise value_error(
                where, f"the layer {layer.name!r}", rule, expected, shapes or "nothing"
            )
        unread -= received
        found += zip(variables, stored, strict=True)
        state = arrays.attribute(f"{path}/vars", _RANDOM_STATE, (2,))
        if state is not None and layer.random_state is not None:
            states.append((layer, state))
    if unread:
        rule, received_names = "has no layer for weights of the file", ", ".join(sorted(unread))
        expected_names = ", ".join(path for path, layer in places(model) if layer.weights)
        raise value_error(where, f"the model {model.name!r}", rule, expected_names, received_names)
    check_shapes(where, [(variable, arrays.shapes[path]) for variable, path in found])
    values = [arrays.read(path) for _, path in found]
    check_dtypes(
        where, [(variable, value) for (variable, _), value in zip(found, values, strict=True)]
    )

    def give() -> None:
        for (variable, _), value in zip(found, values, strict=True):
            assign(variable, value)
        for layer, state in states:
            layer.random_state = int(state[0]), int(state[1])

    return give


def check_shapes(where: str, received: Sequence[tuple[Variable, tuple[int, ...]]]) -> None:
    """Refuse shapes that are not those of the variables.

    Raises:
        ValueError: with the name of the layer and of the variable.
    """
    for variable, shape in received:
        if shape != variable.shape:
            rule = "has another shape in the file"
            raise value_error(where, f"the weight {variable.path}", rule, variable.shape, shape)


def check_dtypes(where: str, received: Sequence[tuple[Variable, npt.NDArray[Any]]]) -> None:
    """Refuse values that are not floating-point numbers.

    Raises:
        ValueError: with the name of the layer and of the variable.
    """
    for variable, value in received:
        if value.dtype.kind != "f":
            rule = "has another dtype in the file"
            raise value_error(where, f"the weight {variable.path}", rule, "float32", value.dtype)


def assign(variable: Variable, value: npt.NDArray[Any]) -> None:
    """Give a variable a value of its shape, as float32."""
    if variable.value.flags.writeable:
        variable.assign(value)
    else:  # a placeholder of a model that is being read
        variable.value = np.ascontiguousarray(value, np.float32)
