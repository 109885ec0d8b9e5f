"""Models and their descriptions in Keras' files: `Sequential`, and `Functional` for graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastconv._errors import type_error, value_error
from fastconv.layers import InputLayer, Layer
from fastconv.layers.symbolic import SymbolicTensor
from fastconv.models.model import Model
from fastconv.models.sequential import Sequential
from fastconv.saving.objects import class_of, describe, known_classes, make

_MODELS = {
    "Sequential": ("keras", "keras.models"),
    "Functional": ("keras.src.models.functional", "keras.models", "keras"),
    "Model": ("keras", "keras.models"),
}
"""Classes of models, and the modules that versions of Keras give them."""
_WRONG_CONTENT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What layers raise for arguments of wrong types and values."""
_CALL_DEFAULTS = (None, [None], [None, None])


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
    nodes = {layer.name: {**describe(layer), "name": layer.name} for layer in model.layers}
    for node in nodes.values():
        node["inbound_nodes"] = []
    for tensor in _tensors(model):
        if tensor.inputs:
            inputs = [_describe_tensor(part) for part in tensor.inputs]
            arguments = inputs if len(inputs) == 1 else [inputs]
            nodes[tensor.name]["inbound_nodes"].append({"args": arguments, "kwargs": {}})
    config = {
        "name": model.name,
        "trainable": model.trainable,
        "layers": list(nodes.values()),
        "input_layers": _ends(model.inputs),
        "output_layers": _ends(model.outputs),
    }
    described = _described("keras.src.models.functional", "Functional", config)
    described["registered_name"] = "Functional"
    return described


def _described(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _describe_tensor(tensor: SymbolicTensor) -> dict[str, Any]:
    config = {
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "keras_history": [tensor.name, 0, 0],
    }
    return {"class_name": "__keras_tensor__", "config": config}


def _ends(tensors: list[SymbolicTensor]) -> list[Any]:
    places: list[Any] = [[tensor.name, 0, 0] for tensor in tensors]
    return places[0] if len(places) == 1 else places


def _tensors(model: Model) -> list[SymbolicTensor]:
    """All tensors of a model's graph, each once."""
    found: dict[int, SymbolicTensor] = {}
    pending = list(model.outputs)
    while pending:
        tensor = pending.pop()
        if id(tensor) not in found:
            found[id(tensor)] = tensor
            pending += tensor.inputs
    return list(found.values())


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
    waiting: list[tuple[Layer, Any]] = []
    results: dict[str, SymbolicTensor] = {}
    for description in _expect_list(config, "layers"):
        layer = make(description)
        if layer.name in layers:
            raise value_error("load", "the layers", "share a name", "different ones", layer.name)
        layers[layer.name] = layer
        if isinstance(layer, InputLayer):
            results[layer.name] = layer.output
            continue
        nodes = _expect_list(description, "inbound_nodes")
        if len(nodes) != 1:
            rule = "is called more than once, or never"
            raise value_error("load", f"the layer {layer.name!r}", rule, "one call", len(nodes))
        waiting.append((layer, nodes[0]))
    while waiting:
        still_waiting = []
        for layer, node in waiting:
            inputs = _call_arguments(layer, node)
            names = inputs if isinstance(inputs, list) else [inputs]
            if any(name not in results for name in names):
                still_waiting.append((layer, node))
                continue
            tensors: Any = [results[name] for name in names]
            results[layer.name] = layer(tensors if isinstance(inputs, list) else tensors[0])
        if len(still_waiting) == len(waiting):
            stuck = ", ".join(layer.name for layer, _ in waiting)
            rule = "have inputs that nothing makes"
            raise value_error("load", "some layers", rule, "a graph without loops", stuck)
        waiting = still_waiting
    model: Model = Model(
        inputs=_tensors_at(config.get("input_layers"), results),
        outputs=_tensors_at(config.get("output_layers"), results),
        name=config.get("name"),
    )
    if config.get("trainable") is False:
        model.trainable = False
    return model


def _call_arguments(layer: Layer, node: Any) -> str | list[str]:
    """The name of the layer whose result `layer` is called on, or a list of several names."""
    arguments, options = node["args"], node["kwargs"]
    if len(arguments) != 1 or any(value not in _CALL_DEFAULTS for value in options.values()):
        rule, expected = "is called with options", "its inputs alone"
        raise value_error("load", f"the layer {layer.name!r}", rule, expected, options)
    if isinstance(arguments[0], list):
        return [_history(argument) for argument in arguments[0]]
    return _history(arguments[0])


def _history(tensor: Any) -> str:
    name, *indices = tensor["config"]["keras_history"]
    return _first_result(name, indices)


def _first_result(name: object, indices: list[Any]) -> str:
    if not isinstance(name, str) or indices != [0, 0]:
        rule, expected = "is not valid", "[name, 0, 0]: layers called once, with one result"
        raise value_error("load", "a tensor", rule, expected, [name, *indices])
    return name


def _tensors_at(places: Any, results: dict[str, SymbolicTensor]) -> Any:
    if not isinstance(places, list) or not places:
        rule, expected = "are not valid", "[name, 0, 0] or a list of such"
        raise type_error("load", "inputs or outputs", rule, expected, places)
    if isinstance(places[0], str):
        return results[_first_result(places[0], places[1:])]
    tensors = [_tensors_at(place, results) for place in places]
    return tensors[0] if len(tensors) == 1 else tensors


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
