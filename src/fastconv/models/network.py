"""A graph of layers as one object: its layers, weights, shapes and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error
from fastconv.layers.layer import Layer, as_numbers
from fastconv.layers.symbolic import Shape, SymbolicTensor
from fastconv.losses import match_rank
from fastconv.models.plan import Plan, graph_order
from fastconv.models.summary import summary_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import FloatArray
    from fastconv.layers.variable import Variable


class Network(Layer):
    """Layers between one symbolic input and one symbolic output.

    A subclass sets `_ends` to (input, output) as soon as the input shape is known.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self._ends: tuple[SymbolicTensor, SymbolicTensor] | None = None
        self._plan: Plan | None = None

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input of a `Sequential`."""
        raise NotImplementedError

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name, or at an index of `layers`.

        Raises:
            ValueError: there is none, or both or neither argument was given.
        """
        if (name is None) == (index is None):
            rule, received = "take one of both", f"name={name!r}, index={index!r}"
            raise value_error("get_layer", "name and index", rule, "a name or an index", received)
        for place, layer in enumerate(self.layers):
            if layer.name == name or place == index:
                return layer
        if index is not None:
            rule, expected = "is out of range", f"0 <= index < {len(self.layers)}"
            raise value_error("get_layer", "index", rule, expected, index)
        names = ", ".join(layer.name for layer in self.layers)
        raise value_error("get_layer", "name", "is not known", f"one of {names}", name)

    # Weights

    @property
    def weights(self) -> list[Variable]:
        """All weights, layer by layer."""
        return [variable for layer in self.layers for variable in layer.weights]

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        if not self.trainable:
            return []
        return [variable for layer in self.layers for variable in layer.trainable_weights]

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets it for every layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.layers:
            layer.trainable = value

    # Shapes

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic input, in a list.

        Raises:
            ValueError: the model is not built.
        """
        return [self._built_ends()[0]]

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic output, in a list.

        Raises:
            ValueError: the model is not built.
        """
        return [self._built_ends()[1]]

    @property
    def input_shape(self) -> Shape:
        """Shape of the input, None for the batch.

        Raises:
            ValueError: the model is not built.
        """
        return self._built_ends()[0].shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the output, None for the batch.

        Raises:
            ValueError: the model is not built.
        """
        return self._built_ends()[1].shape

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output for inputs of `input_shape`."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def shapes_of_results(self) -> dict[str, Shape]:
        """Shape of what each layer gives, by its name; empty if the input shape is not known."""
        if self._ends is None:
            return {}
        return {tensor.name: tensor.shape for tensor in graph_order(*self._ends)}

    def _built_ends(self) -> tuple[SymbolicTensor, SymbolicTensor]:
        if self._ends is None:
            rule = "has no weights yet"
            expected = "an Input, input_shape= on the first layer, build() or a call on data"
            raise value_error(self._title, "the model", rule, expected, "no input shape")
        return self._ends

    # Results

    def __call__(self, inputs: Any, training: bool = False) -> FloatArray:
        """The result for a batch, cast to float32; builds the model at the first call.

        Args:
            inputs: `(N, ...)` of real numbers.
            training: whether layers such as Dropout act as in training.

        Raises:
            ValueError: a shape that does not fit.
            TypeError: a model called on a symbolic tensor.
        """
        if isinstance(inputs, SymbolicTensor):
            rule = "is not a layer of other models"
            raise type_error(self._title, "the model", rule, "an array", inputs)
        x = np.ascontiguousarray(self._adapt(self._title, inputs), np.float32)
        plan = self._get_plan()
        return plan.finish(plan.record(x)[0] if training else plan.forward(x))

    def _adapt(self, operation: str, inputs: npt.ArrayLike) -> npt.NDArray[Any]:
        """Inputs as an array of the model's rank, in its own dtype; builds the model if need be.

        A last axis of size 1 is added or dropped where that makes the rank right, as in Keras.
        """
        x = as_numbers(operation, "x", inputs)
        if x.ndim == 0:
            raise value_error(operation, "x", "must have axes", "(N, ...)", "a scalar")
        if self._ends is None:
            self.ensure_built((None, *x.shape[1:]))
        expected = self.input_shape
        x = match_rank(x, expected)
        sizes = zip(expected, x.shape, strict=False)
        if x.ndim != len(expected) or any(size not in (None, received) for size, received in sizes):
            raise value_error(
                operation, "x", f"does not fit the input of {self.name}", expected, x.shape
            )
        if None in expected[1:]:
            self.compute_output_shape(x.shape)
        return x

    def _get_plan(self) -> Plan:
        if self._plan is None:
            self._plan = Plan(*self._built_ends())
        return self._plan

    def summary(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print the layers with their output shapes and numbers of parameters, and the totals.

        Args:
            print_fn: called once with the whole text instead of `print`.
        """
        text = summary_text(self, self._optimizer_size())
        if print_fn is None:
            print(text, end="")
        else:
            print_fn(text)

    def _optimizer_size(self) -> tuple[int, int] | None:
        return None
