"""From what users give to batches that a model and its objective take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error
from fastconv._shapes import normalize_int
from fastconv.models.data import (
    ArrayBatches,
    Batch,
    Batches,
    StreamBatches,
    is_stream,
    sample_count,
)
from fastconv.models.graph import each

if TYPE_CHECKING:
    from fastconv.models.joint_objective import AnyObjective
    from fastconv.models.model import Model

_BATCH_SIZE = 32


class Intake:
    """Checks data for a model and cuts them into batches; builds the model and its metrics.

    Everything is an array, or a list of arrays where the model has several inputs or outputs.

    Args:
        operation: for errors.
        model: what the batches are for.
        objective: what it is trained for.
    """

    def __init__(self, operation: str, model: Model, objective: AnyObjective) -> None:
        self._operation = operation
        self._model = model
        self._objective = objective

    def batches(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
    ) -> Batches:
        """Batches of inputs, targets and, if there are any, weights.

        Args:
            x, y, sample_weight: arrays; or `x` gives tuples of them, and the others are None.
            class_weight: a factor for the samples of each class; 1 for classes not named.
            batch_size: samples in a batch, of arrays.
            steps: batches an epoch.

        Raises:
            ValueError, TypeError: data that do not fit the model, its loss or each other.
        """
        operation = self._operation
        steps = _checked_steps(operation, steps)
        if not is_stream(x):
            columns = self.columns(x, y, sample_weight, class_weight)
            if batch_size is None and steps is not None:
                batch_size = -(-sample_count(columns[0]) // steps)
            return ArrayBatches(columns, _checked_size(operation, batch_size), steps)
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                rule, expected = "is part of what x gives", "None with a generator of batches"
                raise value_error(operation, name, rule, expected, type(value).__name__)

        def convert(given: Any) -> Batch:
            if not isinstance(given, tuple | list) or len(given) not in (2, 3):
                expected = "(x, y) or (x, y, sample_weight)"
                raise type_error(operation, "a batch", "must be a tuple", expected, type(given))
            weights = given[2] if len(given) == 3 else None
            return self.batch(given[0], given[1], weights, class_weight)

        batches = StreamBatches(x, convert, steps)
        first = batches.peek()
        if first is None:
            raise value_error(operation, "x", "is empty", "at least one batch", "none")
        convert(first)
        return batches

    def batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Mapping[int, float] | None = None,
    ) -> Batch:
        """All samples as one batch."""
        inputs, *others = self.columns(x, y, sample_weight, class_weight)
        return (each(inputs, _as_float32), *others)

    def columns(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Mapping[int, float] | None = None,
    ) -> tuple[Any, ...]:
        """Inputs, prepared targets and, if there are any, weights of the loss' values."""
        operation, model, objective = self._operation, self._model, self._objective
        inputs = model._adapt(operation, x)
        samples = sample_count(inputs)
        if y is None:
            raise value_error(operation, "y", "must be given", "targets", None)
        output_shape = model.compute_output_shape(each(inputs, np.shape))
        targets = objective.prepare(operation, y, output_shape, samples)
        if not samples:
            shape = each(inputs, np.shape)
            raise value_error(operation, "x", "is empty", "at least one sample", shape)
        objective.bind(model._get_plan(), targets, output_shape)
        if class_weight is not None:
            if sample_weight is not None:
                rule, expected = "cannot be given with class_weight", "one of both"
                raise value_error(operation, "sample_weight", rule, expected, "both")
            sample_weight = _weights_of_classes(operation, targets, class_weight)
        if sample_weight is None:
            return inputs, targets
        return inputs, targets, objective.prepare_weights(operation, sample_weight, output_shape)

    def split(
        self, x: Any, y: Any, sample_weight: Any, share: float
    ) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
        """The first samples to train on, and the last ones to validate on, each with weights.

        Raises:
            ValueError: a share that is no fraction or leaves one side empty; data without an end.
        """
        if not 0 < share < 1:
            rule, expected = "is out of range", "0 <= validation_split < 1"
            raise value_error("fit", "validation_split", rule, expected, share)
        if is_stream(x):
            rule, expected = "needs arrays", "x and y as arrays, or validation_data"
            raise value_error("fit", "validation_split", rule, expected, type(x).__name__)
        inputs, targets, *weights = self.columns(x, y, sample_weight)
        samples = sample_count(inputs)
        place = int(samples * (1 - share))
        if not 0 < place < samples:
            rule, expected = "leaves no samples on one side", "samples to train and to validate on"
            raise value_error("fit", "validation_split", rule, expected, f"{share} of {samples}")

        def rows(part: slice) -> tuple[Any, Any, Any]:
            x, y, *own = (
                each(column, lambda array: array[part]) for column in (inputs, targets, *weights)
            )
            return x, y, own[0] if own else None

        return rows(slice(place)), rows(slice(place, None))


def input_batches(
    operation: str, model: Model, x: Any, batch_size: int | None, steps: int | None
) -> tuple[Batches, Any]:
    """Batches of inputs alone; of what a stream gives besides, nothing is used.

    The second value is the shape of all inputs together; None if it is not known.
    """
    steps = _checked_steps(operation, steps)
    if not is_stream(x):
        inputs = model._adapt(operation, x)
        batches = ArrayBatches((inputs,), _checked_size(operation, batch_size), steps)
        return batches, each(inputs, np.shape) if steps is None else None

    def convert(given: Any) -> Batch:
        inputs = model._adapt(operation, given[0] if isinstance(given, tuple) else given)
        return (each(inputs, _as_float32),)

    return StreamBatches(x, convert, steps), None


def _as_float32(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(array, np.float32)


def _checked_size(operation: str, batch_size: int | None) -> int:
    return normalize_int(operation, "batch_size", _BATCH_SIZE if batch_size is None else batch_size)


def _checked_steps(operation: str, steps: int | None) -> int | None:
    return None if steps is None else normalize_int(operation, "steps", steps)


def _weights_of_classes(
    operation: str, targets: Any, class_weight: Mapping[int, float]
) -> npt.NDArray[np.float32]:
    """The weight of each sample, `(N,)`, by the class of its label or one-hot target.

    Raises:
        TypeError: something that is no dict.
        ValueError: targets with more than one class a sample, or several outputs.
    """
    if not isinstance(class_weight, Mapping):
        rule, expected = "must be a dict", "{class: weight}"
        raise type_error(operation, "class_weight", rule, expected, type(class_weight))
    if isinstance(targets, list) or targets.ndim > 2:
        rule, expected = "needs one label a sample", "targets of shape (N,) or (N, classes)"
        received = "several outputs" if isinstance(targets, list) else targets.shape
        raise value_error(operation, "class_weight", rule, expected, received)
    labels = targets
    if targets.ndim == 2:
        labels = targets[:, 0] if targets.shape[1] == 1 else targets.argmax(axis=1)
    weights = np.ones(len(labels), np.float32)
    for label, weight in class_weight.items():
        weights[np.rint(labels) == label] = weight
    return weights
