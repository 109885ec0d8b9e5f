"""The graph of a model: its symbolic tensors, from the inputs to the outputs, and their layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastconv._errors import type_error, value_error
from fastconv.layers import InputLayer, Layer
from fastconv.layers.symbolic import Shape, SymbolicTensor


class Graph:
    """What makes `outputs` of `inputs`.

    Attributes:
        inputs, outputs: tensors.
        tensors: all tensors but the inputs, each after those that it is made from.
        layers: all layers, those of the inputs too, in Keras' order: by the longest way to an
            output, the longest first, then as a walk back from the outputs meets them.

    Raises:
        TypeError: something that is no symbolic tensor.
        ValueError: none of them, an input that `Input` did not make or that is given twice, an
            output that needs another input, or two layers of one name.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs = _tensors("inputs", inputs)
        self.outputs = _tensors("outputs", outputs)
        for tensor in self.inputs:
            if not isinstance(tensor.layer, InputLayer) or self.inputs.count(tensor) > 1:
                rule, expected = "are not valid", "results of Input, each once"
                raise value_error("Model", "inputs", rule, expected, self.inputs)
        order, met = _walk(self.outputs)
        self.tensors = [tensor for tensor in order if tensor.inputs]
        for tensor in order:
            if not tensor.inputs and tensor not in self.inputs:
                rule, names = "need another input", ", ".join(t.name for t in self.inputs)
                raise value_error("Model", "outputs", rule, f"only {names}", tensor.name)
        self._depths = _depths(order)
        self._last_input_shapes: tuple[Shape, ...] | None = None
        self._last_shapes: dict[SymbolicTensor, Shape] = {}
        met = [*(t.layer for t in self.inputs if t.layer not in met), *met]
        self.layers = sorted(met, key=lambda layer: -self._depths.get(layer, 0))
        name, count = Counter(layer.name for layer in self.layers).most_common(1)[0]
        if count > 1:
            rule, expected = "have one name", "a name for each layer"
            raise value_error("Model", f"{count} layers", rule, expected, repr(name))

    @property
    def is_chain(self) -> bool:
        """Whether each tensor is made from the one before, by a layer of its own."""
        before = self.inputs
        for tensor in self.tensors:
            if list(tensor.inputs) != before:
                return False
            before = [tensor]
        return len(self.layers) == len(self.tensors) + 1 and self.outputs == before

    def shapes(self, input_shapes: Sequence[Shape]) -> dict[SymbolicTensor, Shape]:
        """The shape of every tensor for inputs of `input_shapes`.

        Raises:
            ValueError: shapes that a layer cannot take.
        """
        key = tuple(map(tuple, input_shapes))
        if key != self._last_input_shapes:
            shapes = dict(zip(self.inputs, input_shapes, strict=True))
            for tensor in self.tensors:
                shape = gathered([shapes[part] for part in tensor.inputs])
                shapes[tensor] = tensor.layer.compute_output_shape(shape)
            # Training asks for every batch anew: half a tenth of a small model's step.
            self._last_input_shapes, self._last_shapes = key, shapes
        return self._last_shapes


def gathered(parts: Sequence[Any]) -> Any:
    """What belongs to each input of a layer, as the layer takes it: one thing, or several."""
    return parts[0] if len(parts) == 1 else list(parts)


def each(value: Any, function: Callable[[Any], Any]) -> Any:
    """The function of one thing, or of each in a list of several: the inverse of taking apart."""
    return [function(part) for part in value] if isinstance(value, list) else function(value)


def in_parts(operation: str, argument: str, value: Any, names: Sequence[str]) -> list[Any]:
    """What a user gives for the inputs or outputs of these names, one by one.

    Args:
        operation, argument: for errors.
        value: a dict by names; a list if there are several; otherwise the one thing itself.
        names: in order.

    Raises:
        ValueError: another number of parts, or other names.
    """
    if isinstance(value, Mapping):
        if set(value) != set(names):
            rule = "must have a part for each name"
            raise value_error(operation, argument, rule, ", ".join(names), ", ".join(value))
        return [value[name] for name in names]
    if len(names) == 1:
        return [value]
    if isinstance(value, list | tuple) and len(value) == len(names):
        return list(value)
    received = type(value).__name__
    if isinstance(value, list | tuple):
        received += f" of {len(value)}"
    rule, expected = "must have several parts", f"a list for {', '.join(names)}, or a dict"
    raise value_error(operation, argument, rule, expected, received)


def _tensors(argument: str, value: Any) -> list[SymbolicTensor]:
    tensors = list(value) if isinstance(value, list | tuple) else [value]
    for tensor in tensors:
        if not isinstance(tensor, SymbolicTensor):
            rule, expected = "must be symbolic tensors", "results of Input and of layers"
            raise type_error("Model", argument, rule, expected, repr(tensor))
    if not tensors:
        raise value_error("Model", argument, "are empty", "at least one tensor", value)
    return tensors


def _walk(outputs: Sequence[SymbolicTensor]) -> tuple[list[SymbolicTensor], list[Layer]]:
    """All tensors, each after those that it is made from, and all layers as they are met."""
    order: list[SymbolicTensor] = []
    met: dict[Layer, None] = {}
    done: set[SymbolicTensor] = set()
    for output in outputs:
        pending = [(output, iter(output.inputs))] if output not in done else []
        met.setdefault(output.layer)
        while pending:
            tensor, waiting = pending[-1]
            for part in waiting:
                if part not in done:
                    met.setdefault(part.layer)
                    pending.append((part, iter(part.inputs)))
                    break
            else:
                pending.pop()
                done.add(tensor)
                order.append(tensor)
    return order, list(met)


def _depths(order: Sequence[SymbolicTensor]) -> dict[Layer, int]:
    """The number of steps from each layer to the output that is furthest away."""
    of_tensor: dict[SymbolicTensor, int] = {}
    of_layer: dict[Layer, int] = {}
    for tensor in reversed(order):
        depth = max(of_tensor.get(tensor, 0), of_layer.get(tensor.layer, 0))
        of_layer[tensor.layer] = depth
        for part in tensor.inputs:
            of_tensor[part] = max(depth + 1, of_tensor.get(part, 0))
    return of_layer
