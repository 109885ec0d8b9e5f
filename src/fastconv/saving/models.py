"""Models and their descriptions in Keras' files: `Sequential`, and `Functional` for graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from fastconv._errors import type_error, value_error
from fastconv.layers import InputLayer, Layer
from fastconv.layers.symbolic import SymbolicTensor
from fastconv.models.graph import each, gathered
from fastconv.models.model import Model
from fastconv.models.sequential import Sequential
from fastconv.saving.objects import class_of, describe, known_classes, make

Place: TypeAlias = tuple[str, int]
"""A result: the name of a layer, and the number of its call."""

_MODELS = {
    "Sequential": ("keras", "keras.models"),
    "Functional": ("keras.src.models.functional", "keras.models", "keras"),
}
"""Classes of models, and the modules that versions of Keras give them."""
_WRONG_CONTENT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What layers raise for arguments of wrong types and values."""


def describe_model(model: Model) -> dict[str, Any]:
    """The description of a model and its layers.

    Raises:
        ValueError: a layer, or something in it, that no file can name.
    """
    if type(model) is Sequential:
        return _describe_sequential(model)
    if type(model) is Model:
        return _describe_functional(model)
    expected = "a Sequential or a Model of layers"
    rule = "is of a class that cannot be named in a file (save_weights writes its weights)"
    raise value_error("save", f"the model {model.name!r}", rule, expected, type(model).__name__)


def make_model(description: object) -> Model:
    """The model of a description, without the values of its weights.

    Raises:
        ValueError: the description is damaged, or names layers that fastconv does not have.
    """
    _check_classes(description)
    try:
        return _make_model(description)
    except _WRONG_CONTENT as error:
        raise ValueError(f"the model cannot be made: {error}") from error


def make_model_of_config(config: Mapping[str, Any]) -> Model:
    """The model of the configuration in a description, which is that of a graph or of a chain."""
    if "input_layers" in config:
        return make_model(_described("keras", "Functional", dict(config)))
    return make_model(_described("keras", "Sequential", dict(config)))


def _describe_sequential(model: Sequential) -> dict[str, Any]:
    built = model.built
    layers = [tensor.layer for tensor in model.inputs] if built else []
    config: dict[str, Any] = {
        "name": model.name,
        "trainable": model.trainable,
        "dtype": model.dtype,
        "layers": [describe(layer) for layer in [*layers, *model.layers]],
    }
    if built:
        config["build_input_shape"] = list(model.input_shape)
    return _described("keras", "Sequential", config)


def _describe_functional(model: Model) -> dict[str, Any]:
    described_layers: dict[str, dict[str, Any]] = {}
    for layer in model.layers:
        described_layers[layer.name] = {**describe(layer), "name": layer.name, "inbound_nodes": []}
    # A layer that is called several times has several nodes, in the order of the calls.
    made = sorted(model.graph.tensors, key=lambda tensor: tensor.call)
    places = {tensor: [tensor.name, 0, 0] for tensor in model.inputs}
    for tensor in made:
        nodes = described_layers[tensor.name]["inbound_nodes"]
        places[tensor] = [tensor.name, len(nodes), 0]
        nodes.append(tensor)
    for described in described_layers.values():
        described["inbound_nodes"] = [
            _describe_call(tensor, places) for tensor in described["inbound_nodes"]
        ]
    config = {
        "name": model.name,
        "trainable": model.trainable,
        "layers": list(described_layers.values()),
        "input_layers": gathered([places[tensor] for tensor in model.inputs]),
        "output_layers": gathered([places[tensor] for tensor in model.outputs]),
    }
    described = _described("keras.src.models.functional", "Functional", config)
    described["registered_name"] = "Functional"
    return described


def _describe_call(
    tensor: SymbolicTensor, places: Mapping[SymbolicTensor, list[Any]]
) -> dict[str, Any]:
    """The node that makes a tensor: the arguments of the call."""
    inputs = [
        {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": list(part.shape),
                "dtype": part.dtype,
                "keras_history": places[part],
            },
        }
        for part in tensor.inputs
    ]
    return {"args": inputs if len(inputs) == 1 else [inputs], "kwargs": {}}


def _described(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _make_model(description: Any) -> Model:
    module, name = class_of(description)
    if module not in _MODELS.get(name, ()):
        expected = "Sequential or Functional"
        raise value_error("load", "the model", "is of another class", expected, f"{module}.{name}")
    config = description["config"]
    return _make_sequential(config) if name == "Sequential" else _make_functional(config)


def _make_sequential(config: Mapping[str, Any]) -> Sequential:
    layers = [make(layer) for layer in _expect_list(config, "layers")]
    trainable = config.get("trainable", True) is not False
    model = Sequential(layers, trainable, config.get("name"))
    shape = config.get("build_input_shape")
    if shape is not None and not model.built:
        model.build(tuple(shape))
    return model


def _make_functional(config: Mapping[str, Any]) -> Model:
    layers: dict[str, Layer] = {}
    calls: list[tuple[Layer, int, Any]] = []
    results: dict[Place, SymbolicTensor] = {}
    for description in _expect_list(config, "layers"):
        layer = make(description)
        if layer.name in layers:
            raise value_error("load", "the layers", "share a name", "different ones", layer.name)
        layers[layer.name] = layer
        if isinstance(layer, InputLayer):
            results[layer.name, 0] = layer.output
        nodes = _expect_list(description, "inbound_nodes")
        calls += [(layer, index, _call_arguments(layer, node)) for index, node in enumerate(nodes)]
    while calls:
        waiting = []
        for layer, index, inputs in calls:
            needed = inputs if isinstance(inputs, list) else [inputs]
            # Calls of one layer must be made in their order, which numbers its results.
            earlier = [(layer.name, index - 1)] if index else []
            if all(place in results for place in [*needed, *earlier]):
                results[layer.name, index] = layer(each(inputs, results.__getitem__))
            else:
                waiting.append((layer, index, inputs))
        if len(waiting) == len(calls):
            stuck = ", ".join(layer.name for layer, _, _ in waiting)
            rule = "have inputs that nothing makes"
            raise value_error("load", "some layers", rule, "a graph without loops", stuck)
        calls = waiting
    model = Model(
        inputs=_ends(config.get("input_layers"), results),
        outputs=_ends(config.get("output_layers"), results),
        name=config.get("name"),
    )
    if config.get("trainable") is False:
        model.trainable = False
    return model


def _call_arguments(layer: Layer, node: Any) -> Place | list[Place]:
    """The results that `layer` is called on."""
    arguments, options = node["args"], node["kwargs"]
    # `mask` and `training` may be there, as None or as a None for each input.
    given = [value for value in options.values() if value is not None]
    if len(arguments) != 1 or any(part is not None for value in given for part in value):
        rule, expected = "is called with options", "its inputs alone"
        raise value_error("load", f"the layer {layer.name!r}", rule, expected, options)
    inputs: Place | list[Place] = each(
        arguments[0], lambda tensor: _place(tensor["config"]["keras_history"])
    )
    return inputs


def _place(history: Any) -> Place:
    """The layer that makes a tensor and the number of its call."""
    name, call, result = history
    if not isinstance(name, str) or not isinstance(call, int) or result != 0:
        rule, expected = "is not valid", "[layer, number of its call, 0]"
        raise value_error("load", "a tensor", rule, expected, history)
    return name, call


def _ends(places: Any, results: Mapping[Place, SymbolicTensor]) -> Any:
    """The inputs or the outputs of a model."""
    if not isinstance(places, list) or not places:
        rule, expected = "are not valid", "[layer, number of its call, 0], or a list of such"
        raise type_error("load", "inputs or outputs", rule, expected, places)
    if isinstance(places[0], str):
        return results[_place(places)]
    return [results[_place(place)] for place in places]


def _expect_list(config: Mapping[str, Any], name: str) -> list[Any]:
    value = config.get(name)
    if not isinstance(value, list):
        raise type_error("load", name, "is not valid", "a list", value)
    return value


def _check_classes(description: object) -> None:
    """Refuse layers that fastconv does not have, all of them in one message."""
    known = known_classes()["keras.layers"]
    missing = [
        f"{name} ({module}, {layer!r})"
        for module, name, layer in _layer_classes(description)
        if module != "keras.layers" or name not in known
    ]
    if missing:
        rule = "has layers that fastconv does not have"
        expected = f"only {', '.join(sorted(known))}"
        # All of them must be seen, so this is not cut as other messages are.
        raise ValueError(f"the model {rule}, expected {expected}, received {', '.join(missing)}")


def _layer_classes(description: object) -> Iterator[tuple[str, str, Any]]:
    """(module, class, name) of all layers in a model's description."""
    pending = [description]
    first = True
    while pending:
        item = pending.pop()
        try:
            module, name = class_of(item)
        except TypeError as error:
            raise ValueError(f"the model cannot be made: {error}") from error
        assert isinstance(item, Mapping)
        config = item["config"]
        if not first:
            yield module, name, config.get("name", item.get("name"))
        first = False
        layers = config.get("layers")
        if isinstance(layers, list):
            pending += layers[::-1]
