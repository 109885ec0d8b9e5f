"""From what users give to batches that a model and its objective take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error
from fastconv._shapes import normalize_int
from fastconv.losses.loss import prepare_weights
from fastconv.models.data import ArrayBatches, Batch, Batches, StreamBatches, is_stream

if TYPE_CHECKING:
    from fastconv.models.model import Model
    from fastconv.models.objective import Objective

_BATCH_SIZE = 32


def labelled_batches(
    operation: str,
    model: Model,
    objective: Objective,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
) -> Batches:
    """Batches of inputs, targets and, if there are any, weights; builds the model and its metrics.

    Args:
        operation: for errors.
        model, objective: what the batches are for.
        x, y, sample_weight: arrays; or `x` gives tuples of them, and the others are None.
        class_weight: a factor for the samples of each class; 1 for classes that are not there.
        batch_size: samples in a batch, of arrays.
        steps: batches an epoch.

    Raises:
        ValueError, TypeError: data that do not fit the model, its loss or each other.
    """
    if steps is not None:
        steps = normalize_int(operation, "steps", steps)
    if not is_stream(x):
        columns = _labelled(operation, model, objective, x, y, sample_weight, class_weight)
        size = batch_size
        if size is None and steps is not None:
            size = -(-len(columns[0]) // steps)
        return ArrayBatches(columns, _dtypes(columns), checked_batch_size(operation, size), steps)
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            rule, expected = "is part of what x gives", "None with a generator of batches"
            raise value_error(operation, name, rule, expected, type(value).__name__)

    def convert(given: Any) -> Batch:
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            expected = "(x, y) or (x, y, sample_weight)"
            raise type_error(operation, "a batch", "must be a tuple", expected, type(given))
        weights = given[2] if len(given) == 3 else None
        columns = _labelled(operation, model, objective, given[0], given[1], weights, class_weight)
        return tuple(
            np.ascontiguousarray(column, dtype)
            for column, dtype in zip(columns, _dtypes(columns), strict=True)
        )

    batches = StreamBatches(x, convert, steps)
    first = batches.peek()
    if first is None:
        raise value_error(operation, "x", "is empty", "at least one batch", "none")
    convert(first)
    return batches


def input_batches(
    operation: str, model: Model, x: Any, batch_size: int | None, steps: int | None
) -> Batches:
    """Batches of inputs alone; of what a stream gives besides, nothing is used."""
    if steps is not None:
        steps = normalize_int(operation, "steps", steps)
    if not is_stream(x):
        inputs = model._adapt(operation, x)
        size = checked_batch_size(operation, batch_size)
        return ArrayBatches((inputs,), (np.float32,), size, steps)

    def convert(given: Any) -> Batch:
        inputs = given[0] if isinstance(given, tuple) else given
        return (np.ascontiguousarray(model._adapt(operation, inputs), np.float32),)

    return StreamBatches(x, convert, steps)


def checked_batch_size(operation: str, batch_size: int | None) -> int:
    """The batch size, 32 if it is not given."""
    return normalize_int(operation, "batch_size", _BATCH_SIZE if batch_size is None else batch_size)


def _labelled(
    operation: str,
    model: Model,
    objective: Objective,
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Mapping[int, float] | None,
) -> tuple[npt.NDArray[Any], ...]:
    inputs = model._adapt(operation, x)
    if y is None:
        raise value_error(operation, "y", "must be given", "targets", None)
    output_shape = model.compute_output_shape(inputs.shape)
    targets = objective.loss.prepare(y, output_shape)
    if len(targets) != len(inputs):
        rule = "must have as many samples as x"
        raise value_error(operation, "y", rule, len(inputs), len(targets))
    if not len(inputs):
        raise value_error(operation, "x", "is empty", "at least one sample", inputs.shape)
    objective.bind(model._get_plan(), targets.shape, output_shape)
    if class_weight is not None:
        if sample_weight is not None:
            rule, expected = "cannot be given with class_weight", "one of both"
            raise value_error(operation, "sample_weight", rule, expected, "both")
        sample_weight = weights_of_classes(operation, targets, class_weight)
    if sample_weight is None:
        return inputs, targets
    return inputs, targets, prepare_weights(operation, sample_weight, output_shape)


def weights_of_classes(
    operation: str, targets: npt.NDArray[Any], class_weight: Mapping[int, float]
) -> npt.NDArray[np.float32]:
    """The weight of each sample, `(N,)`, by the class of its label or one-hot target.

    Raises:
        TypeError: something that is no dict.
        ValueError: targets with more than one class a sample.
    """
    if not isinstance(class_weight, Mapping):
        rule, expected = "must be a dict", "{class: weight}"
        raise type_error(operation, "class_weight", rule, expected, type(class_weight))
    if targets.ndim > 2:
        rule, expected = "needs one label a sample", "targets of shape (N,) or (N, classes)"
        raise value_error(operation, "class_weight", rule, expected, targets.shape)
    labels = targets
    if targets.ndim == 2:
        labels = targets[:, 0] if targets.shape[1] == 1 else targets.argmax(axis=1)
    weights = np.ones(len(labels), np.float32)
    for label, weight in class_weight.items():
        weights[np.rint(labels) == label] = weight
    return weights


def _dtypes(columns: tuple[npt.NDArray[Any], ...]) -> tuple[npt.DTypeLike, ...]:
    """Inputs are cast to float32 a batch at a time; everything else has been prepared."""
    return (np.float32, *(column.dtype for column in columns[1:]))
