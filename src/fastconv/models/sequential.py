"""Models that are one chain of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv._errors import type_error, value_error
from fastconv.layers import InputLayer, Layer
from fastconv.layers.symbolic import Shape, SymbolicTensor
from fastconv.models.graph import Graph
from fastconv.models.model import Model
from fastconv.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence


class Sequential(Model):
    """A chain of layers.

    Args:
        layers: in order. An `Input` first, or `input_shape=` on the first layer, builds the model
            at once; otherwise `build` does, or the first call on data.
        trainable: as for `Layer`.
        name: made from the class name by default.

    Raises:
        TypeError: something that is no layer.
        ValueError: two layers of one name, or shapes that do not fit.

    >>> from fastconv import layers
    >>> model = Sequential([layers.Input((28, 28, 1)), layers.Conv2D(32, 3), layers.Flatten()])
    >>> model.output_shape
    (None, 21632)
    """

    def __init__(
        self,
        layers: Sequence[Layer | SymbolicTensor] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        self._layers: list[Layer] = []
        super().__init__(name=name, trainable=trainable)
        for layer in layers or ():
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input."""
        return list(self._layers)

    def add(self, layer: Layer | SymbolicTensor) -> None:
        """Append a layer, or give the input of an empty model.

        Raises:
            TypeError, ValueError: as for the class.
        """
        if isinstance(layer, SymbolicTensor) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        if not isinstance(layer, Layer) or isinstance(layer, Network):
            rule, expected = "must be a layer", "an instance of layers.Layer that is no model"
            raise type_error(self._title, "layer", rule, expected, repr(layer))
        if isinstance(layer, InputLayer):
            self._set_input(layer)
            return
        if any(layer.name == other.name for other in self._layers):
            rule, expected = "has the name of another layer", "a name of its own"
            raise value_error(self._title, "layer", rule, expected, layer.name)
        if not self._layers and self._graph is None and layer.batch_input_shape is not None:
            self._set_input(InputLayer(layer.batch_input_shape[1:]))
        if self._graph is not None:
            self._graph = Graph(self.inputs, layer(self.outputs[0]))
        self._layers.append(layer)
        self._changed()

    def pop(self) -> Layer:
        """Take off the last layer and return it.

        Raises:
            ValueError: the model has no layers.
        """
        if not self._layers:
            raise value_error(self._title, "the model", "is empty", "a layer to take off", "none")
        layer = self._layers.pop()
        if self._graph is not None:
            self._graph = Graph(self.inputs, self.outputs[0].inputs[0])
        self._changed()
        return layer

    def build(self, input_shape: Shape) -> None:
        """Create the weights, unless the input shape is known already.

        Args:
            input_shape: with the batch first, such as (None, 28, 28, 1).
        """
        if self._graph is None:
            self._set_input(InputLayer(input_shape[1:], input_shape[0]))
            self._changed()

    def _set_input(self, layer: InputLayer) -> None:
        if self._graph is not None:
            rule, expected = "is given already", "one input"
            raise value_error(self._title, "the input", rule, expected, self.input_shape)
        output = layer.output
        for other in self._layers:
            output = other(output)
        self._graph = Graph(layer.output, output)

    def _changed(self) -> None:
        super()._changed()
        self.built = self._graph is not None and bool(self._layers)
