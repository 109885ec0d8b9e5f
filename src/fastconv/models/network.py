"""A graph of layers as one object: its layers, weights, shapes and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error
from fastconv.layers.layer import Layer, as_numbers
from fastconv.layers.symbolic import Shape, SymbolicTensor
from fastconv.losses import match_rank
from fastconv.models.graph import Graph, each, gathered, in_parts
from fastconv.models.plan import Plan
from fastconv.models.summary import summary_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv.layers.variable import Variable


class Network(Layer):
    """Layers between symbolic inputs and outputs.

    A subclass sets `_graph` as soon as the input shape is known.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self._graph: Graph | None = None
        self._plan: Plan | None = None

    @property
    def layers(self) -> list[Layer]:
        """The layers, those of the inputs too, in Keras' order."""
        return list(self.graph.layers)

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
        """The symbolic inputs.

        Raises:
            ValueError: the model is not built.
        """
        return list(self.graph.inputs)

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs.

        Raises:
            ValueError: the model is not built.
        """
        return list(self.graph.outputs)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs.

        Raises:
            ValueError: the model is not built.
        """
        return [tensor.name for tensor in self.graph.inputs]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that give the outputs.

        Raises:
            ValueError: the model is not built.
        """
        return [tensor.name for tensor in self.graph.outputs]

    @property
    def input_shape(self) -> Any:
        """Shape of the input, None for the batch; a list of shapes for several inputs.

        Raises:
            ValueError: the model is not built.
        """
        return gathered([tensor.shape for tensor in self.graph.inputs])

    @property
    def output_shape(self) -> Any:
        """Shape of the output, None for the batch; a list of shapes for several outputs.

        Raises:
            ValueError: the model is not built.
        """
        return gathered([tensor.shape for tensor in self.graph.outputs])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output for inputs of `input_shape`; lists of shapes for several."""
        graph = self.graph
        shapes = graph.shapes(input_shape if len(graph.inputs) > 1 else [input_shape])
        return gathered([shapes[tensor] for tensor in graph.outputs])

    def shapes_of_results(self) -> dict[Layer, Shape]:
        """Shape of what each layer gave last; empty if the input shape is not known."""
        if self._graph is None:
            return {}
        tensors = [*self._graph.inputs, *self._graph.tensors]
        return {tensor.layer: tensor.shape for tensor in tensors}

    def connections(self) -> dict[Layer, list[SymbolicTensor]] | None:
        """What each layer is called on; None for a chain of layers."""
        if self._graph is None or self._graph.is_chain:
            return None
        found: dict[Layer, list[SymbolicTensor]] = {layer: [] for layer in self.layers}
        for tensor in self._graph.tensors:
            found[tensor.layer] += tensor.inputs
        return found

    @property
    def graph(self) -> Graph:
        """The tensors from the inputs to the outputs.

        Raises:
            ValueError: the model is not built.
        """
        if self._graph is None:
            rule = "has no weights yet"
            expected = "an Input, input_shape= on the first layer, build() or a call on data"
            raise value_error(self._title, "the model", rule, expected, "no input shape")
        return self._graph

    # Results

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        """The result for a batch, cast to float32; builds the model at the first call.

        Args:
            inputs: `(N, ...)` of real numbers; for several inputs a list of arrays, or a dict by
                the names of the inputs.
            training: whether layers such as Dropout act as in training.

        Returns:
            An array, or a list of arrays for several outputs.

        Raises:
            ValueError: a shape that does not fit.
            TypeError: a model called on a symbolic tensor.
        """
        if self._plan is not None and not training:
            result = self._plan.predict_unchecked(inputs)
            if result is not None:
                return result
        if isinstance(inputs, SymbolicTensor):
            rule = "is not a layer of other models"
            raise type_error(self._title, "the model", rule, "an array", inputs)
        x = self._adapt(self._title, inputs)
        x = each(x, lambda part: np.ascontiguousarray(part, np.float32))
        plan = self._get_plan()
        return plan.finish(plan.record(x)[0]) if training else plan.predict(x)

    def _adapt(self, operation: str, inputs: Any) -> Any:
        """Inputs as arrays of the model's ranks, in their own dtypes; builds the model if need be.

        One array, or a list of arrays for several inputs.

        A last axis of size 1 is added or dropped where that makes the rank right, as in Keras.
        """
        if self._graph is None:
            x = as_numbers(operation, "x", inputs)
            if x.ndim == 0:
                raise value_error(operation, "x", "must have axes", "(N, ...)", "a scalar")
            self.ensure_built((None, *x.shape[1:]))
        tensors = self.graph.inputs
        values = in_parts(operation, "x", inputs, self.input_names)
        parts = [
            self._fitted(operation, value, tensor)
            for value, tensor in zip(values, tensors, strict=True)
        ]
        if len({len(part) for part in parts}) > 1:
            rule, received = "must have as many samples each", [len(part) for part in parts]
            raise value_error(operation, "x", rule, len(parts[0]), received)
        if any(None in tensor.shape[1:] for tensor in tensors):
            self.compute_output_shape(gathered([part.shape for part in parts]))
        return gathered(parts)

    def _fitted(self, operation: str, values: Any, tensor: SymbolicTensor) -> npt.NDArray[Any]:
        x = as_numbers(operation, "x", values)
        if x.ndim == 0:
            raise value_error(operation, "x", "must have axes", "(N, ...)", "a scalar")
        expected = tensor.shape
        x = match_rank(x, expected)
        sizes = zip(expected, x.shape, strict=False)
        if x.ndim != len(expected) or any(size not in (None, received) for size, received in sizes):
            name = self.name if len(self.graph.inputs) == 1 else f"{self.name}, {tensor.name}"
            raise value_error(
                operation, "x", f"does not fit the input of {name}", expected, x.shape
            )
        return x

    def _get_plan(self) -> Plan:
        if self._plan is None:
            self._plan = Plan(self.graph)
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
