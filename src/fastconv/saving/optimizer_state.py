"""The state of an optimizer in an HDF5 file: Keras' `optimizer/vars/<n>`.

First the number of steps; then the learning rate, unless a schedule gives it; then for each weight
that trains the arrays that the optimizer keeps for it. Adam's two moments of one weight follow each
other; all other kinds of arrays come one kind after the other.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv.optimizers import Adam

if TYPE_CHECKING:
    from fastconv.models.model import Model
    from fastconv.optimizers import Optimizer
    from fastconv.saving.hdf5 import StoredArrays

_PATH = "optimizer/vars"


def write_optimizer(file: Any, model: Model) -> None:
    """Write the state of a model's optimizer, if it has one, into an open HDF5 file."""
    optimizer = model.optimizer
    if optimizer is None:
        return
    group = file.create_group(_PATH)
    group.attrs["name"] = optimizer.name
    group["0"] = np.int64(optimizer.iterations)
    if has_constant_rate(optimizer):
        group["1"] = np.float32(optimizer.learning_rate)
    first = len(group)
    names = _order(optimizer, len(model.trainable_weights))
    if optimizer.built:
        parameters = model.flat_parameters()
        views = {name: parameters.views(slot) for name, slot in optimizer.slots.items()}
    else:
        zeros = [np.zeros(variable.shape, np.float32) for variable in model.trainable_weights]
        views = dict.fromkeys(optimizer.slot_names(), zeros)
    for index, (name, weight) in enumerate(names, first):
        group[str(index)] = views[name][weight]


def read_optimizer(where: str, model: Model, arrays: StoredArrays) -> None:
    """Give a model's optimizer the state in a file.

    A state that is for another optimizer or other weights is left alone, with a warning, as in
    Keras. A file has none if its model was not compiled; Keras writes no arrays before training.
    """
    optimizer = model.optimizer
    stored = {path for path in arrays.shapes if path.startswith(f"{_PATH}/")}
    if optimizer is None or not stored:
        return
    rate = [()] if has_constant_rate(optimizer) else []
    variables = model.trainable_weights
    names = _order(optimizer, len(variables))
    expected = [(), *rate, *(variables[weight].shape for _, weight in names)]
    received = [arrays.shapes.get(f"{_PATH}/{index}") for index in range(len(stored))]
    if received not in (expected, expected[: 1 + len(rate)]):
        message = (
            f"{where}: the optimizer's state is not used: it is not that of {optimizer.name} for "
            f"the weights that train here, expected {len(expected)} arrays, received {len(stored)}"
        )
        warnings.warn(message, stacklevel=4)
        return
    values = [arrays.read(f"{_PATH}/{index}") for index in range(len(stored))]
    optimizer.iterations = _checked_iterations(where, values[0])
    if rate and np.float32(optimizer.learning_rate) != np.float32(values[1]):
        # Where both are equal as float32, the configuration has more digits.
        optimizer.learning_rate = float(values[1])
    if len(values) == len(expected):
        parameters = model.flat_parameters()
        views = {name: parameters.views(slot) for name, slot in optimizer.slots.items()}
        for (name, weight), value in zip(names, values[1 + len(rate) :], strict=True):
            views[name][weight][...] = value


def has_constant_rate(optimizer: Optimizer) -> bool:
    """Whether the learning rate is a number that the file keeps."""
    return optimizer.schedule is None


def _order(optimizer: Optimizer, weights: int) -> list[tuple[str, int]]:
    """For each array in Keras' order the slot and the number of the weight that it belongs to."""
    names = optimizer.slot_names()
    together = names[:2] if isinstance(optimizer, Adam) else names[:0]
    order = [(name, weight) for weight in range(weights) for name in together]
    return order + [(name, weight) for name in names[len(together) :] for weight in range(weights)]


def _checked_iterations(where: str, value: npt.NDArray[Any]) -> int:
    number = float(value)
    if not math.isfinite(number) or number < 0 or number != int(number):
        raise ValueError(
            f"{where}: the optimizer's number of steps is not valid, expected an int >= 0, "
            f"received {value}"
        )
    return int(value)
