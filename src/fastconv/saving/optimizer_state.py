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
    from collections.abc import Callable

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
    shapes = _weight_shapes(model, optimizer)
    if optimizer.built:
        views = _slot_views(model, optimizer)
    else:
        zeros = [np.zeros(shape, np.float32) for shape in shapes]
        views = dict.fromkeys(optimizer.slot_names(), zeros)
    for index, (name, weight) in enumerate(_order(optimizer, len(shapes)), first):
        group[str(index)] = views[name][weight]


def checked_optimizer(where: str, model: Model, arrays: StoredArrays) -> Callable[[], None]:
    """Read the state of a model's optimizer; the result gives it to the optimizer.

    A state that is for another optimizer or other weights is left alone, with a warning, as in
    Keras. A file has none if its model was not compiled; Keras writes no arrays before training.

    Raises:
        ValueError: numbers that no optimizer has.
    """
    optimizer = model.optimizer
    stored = {path for path in arrays.shapes if path.startswith(f"{_PATH}/")}
    if optimizer is None or not stored:
        return lambda: None
    rate_shapes = [()] if has_constant_rate(optimizer) else []
    shapes = _weight_shapes(model, optimizer)
    order = _order(optimizer, len(shapes))
    expected = [(), *rate_shapes, *(shapes[weight] for _, weight in order)]
    received = [arrays.shapes.get(f"{_PATH}/{index}") for index in range(len(stored))]
    first = 1 + len(rate_shapes)
    if received not in (expected, expected[:first]):
        message = (
            f"{where}: the optimizer's state is not used: it is not that of {optimizer.name} for "
            f"the weights that train here, expected {len(expected)} arrays, received {len(stored)}"
        )
        warnings.warn(message, stacklevel=4)
        return lambda: None
    values = [arrays.read(f"{_PATH}/{index}") for index in range(len(stored))]
    iterations = _checked_iterations(where, values[0])
    rate = _checked_rate(where, values[1]) if rate_shapes else None

    def give() -> None:
        optimizer.iterations = iterations
        # Where both are equal as float32, the configuration has more digits.
        if rate is not None and np.float32(optimizer.learning_rate) != np.float32(rate):
            optimizer.learning_rate = rate
        if len(values) == len(expected):
            views = _slot_views(model, optimizer)
            for (name, weight), value in zip(order, values[first:], strict=True):
                views[name][weight][...] = value

    return give


def has_constant_rate(optimizer: Optimizer) -> bool:
    """Whether the learning rate is a number that the file keeps."""
    return optimizer.schedule is None


def _weight_shapes(model: Model, optimizer: Optimizer) -> list[tuple[int, ...]]:
    """The shapes of the weights that the optimizer changes.

    Once it has state, those are the weights that trained then: freezing a layer has no effect
    before the next `compile`.
    """
    if not optimizer.built:
        return [variable.shape for variable in model.trainable_weights]
    parameters = model.flat_parameters()
    return [view.shape for view in parameters.views(parameters.gradients)]


def _slot_views(model: Model, optimizer: Optimizer) -> dict[str, list[npt.NDArray[Any]]]:
    """For each array that the optimizer keeps its parts, one for each weight."""
    parameters = model.flat_parameters()
    return {name: list(parameters.views(slot)) for name, slot in optimizer.slots.items()}


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


def _checked_rate(where: str, value: npt.NDArray[Any]) -> float:
    rate = float(value)
    if not 0 <= rate < math.inf:
        raise ValueError(
            f"{where}: the learning rate is not valid, expected a number >= 0, received {value}"
        )
    return rate
