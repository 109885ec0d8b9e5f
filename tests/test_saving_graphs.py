"""Models of the functional API in files: branches, shared layers, several inputs and outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from support.files import CONFIG, assert_same_weights, edit_config, members, small_model

h5py = pytest.importorskip("h5py", reason='files need h5py: pip install "fastconv[files]"')

load_model = keras.models.load_model


def branches() -> keras.Model:
    """A long branch, a short one, and a layer called on two tensors."""
    inputs = keras.Input((9, 8, 2), name="pixels")
    shared = layers.Conv2D(3, 3, padding="same", activation="tanh", name="shared")
    short = layers.Conv2D(3, 1, name="short")(inputs)
    long = layers.Conv2D(2, 3, padding="same", name="long")(inputs)
    long = shared(long)
    direct = shared(inputs)
    x = layers.Concatenate(name="joined")([direct, short, long])
    x = layers.BatchNormalization(name="normal")(x)
    x = layers.Add(name="sum")([x, x])
    x = layers.Dropout(0.3, name="drop")(layers.Flatten(name="flat")(x))
    return keras.Model(inputs, layers.Dense(4, name="head")(x), name="branches")


def two_ends() -> keras.Model:
    left, right = keras.Input((6, 5, 2), name="left"), keras.Input((4,), name="right")
    x = layers.Flatten()(layers.Conv2D(3, 3)(left))
    x = layers.Concatenate()([x, layers.Dense(3)(right)])
    digit = layers.Dense(4, activation="softmax", name="digit")(x)
    return keras.Model([left, right], [digit, layers.Dense(1, name="size")(x)], name="two")


def batch(count: int = 8) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, 9, 8, 2)).astype(np.float32), rng.integers(0, 4, count)


def two_batch(count: int = 8) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = [rng.normal(size=shape).astype("f4") for shape in [(count, 6, 5, 2), (count, 4)]]
    return x, [rng.integers(0, 4, count), rng.normal(size=(count, 1)).astype("f4")]


def assert_same_graph(one: keras.Model, other: keras.Model) -> None:
    def links(model: keras.Model) -> list[Any]:
        graph = model.graph
        numbers = {tensor: n for n, tensor in enumerate([*graph.inputs, *graph.tensors])}
        return [
            [(t.name, t.shape, [numbers[part] for part in t.inputs]) for t in numbers],
            [numbers[tensor] for tensor in graph.outputs],
            [(layer.name, layer.get_config()) for layer in model.layers],
        ]

    assert links(one) == links(other)


def test_a_graph(tmp_path: Path) -> None:
    model = branches()
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert type(loaded) is keras.Model
    assert loaded.name == "branches"
    assert_same_graph(loaded, model)
    assert_same_weights(loaded, model)
    x, _ = batch()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_graph_whose_layers_were_called_elsewhere_too(tmp_path: Path) -> None:
    """Calls that are not part of the model do not count in its file."""
    inputs = keras.Input((4,), name="i")
    dense = layers.Dense(4, name="dense")
    dense(keras.Input((4,)))
    once = dense(inputs)
    dense(once)
    model = keras.Model(inputs, layers.Add(name="sum")([once, dense(once)]))
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert_same_graph(loaded, model)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_training_of_a_graph_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model = branches()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    for _ in range(3):
        model.train_on_batch(*batch())
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    for _ in range(3):
        model.train_on_batch(*batch())
        loaded.train_on_batch(*batch())
    assert_same_weights(loaded, model)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    model = two_ends()
    model.compile(
        keras.optimizers.SGD(0.1),
        {"digit": "sparse_categorical_crossentropy", "size": "mse"},
        loss_weights={"digit": 1.0, "size": 0.25},
        metrics={"digit": ["accuracy"], "size": ["mae"]},
    )
    x, y = two_batch()
    model.train_on_batch(x, y)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert loaded.input_names == ["left", "right"]
    assert loaded.output_names == ["digit", "size"]
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == expected
    model.train_on_batch(x, y)
    loaded.train_on_batch(x, y)
    assert_same_weights(loaded, model)


def test_weights_find_their_layers_without_names(tmp_path: Path) -> None:
    """Of two layers of one class the order in the file decides, which the graph gives."""
    one, other = two_ends(), two_ends()
    one.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5") as file:
        names = {place: file[f"layers/{place}/vars"].attrs["name"] for place in file["layers"]}
    assert names["input_layer"] == "left"
    assert [names[place] for place in ("dense_1", "dense_2")] == ["digit", "size"]
    other.load_weights(tmp_path / "m.weights.h5")
    assert_same_weights(one, other)


def test_a_frozen_graph(tmp_path: Path) -> None:
    model = branches()
    model.trainable = False
    model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").trainable_weights == []


def test_configurations_of_models() -> None:
    for model in (branches(), two_ends(), small_model()):
        config = json.loads(json.dumps(model.get_config()))
        made = type(model).from_config(config)
        assert type(made) is type(model)
        assert made.get_config() == model.get_config()
        assert_same_graph(made, model)
        # New weights, not placeholders: those of a kernel differ, and can be changed.
        kernel = model.layers[-1].weights[0]
        assert not np.array_equal(made.layers[-1].weights[0], kernel)
        made.set_weights(model.get_weights())
        assert_same_weights(made, model)
    with pytest.raises(ValueError, match="has layers that fastconv does not have"):
        keras.Sequential.from_config(
            {"name": "m", "layers": [{"module": "os", "class_name": "system", "config": {}}]}
        )


# --- graphs that are refused ----------------------------------------------------------------------


def history(config: Any, layer: str, call: int = 0) -> Any:
    """Where the arguments of a call say what they are the result of."""
    (found,) = [part for part in config["config"]["layers"] if part["name"] == layer]
    argument = found["inbound_nodes"][call]["args"][0]
    return (argument[0] if isinstance(argument, list) else argument)["config"]["keras_history"]


def nodes(config: Any, layer: str) -> Any:
    (found,) = [part for part in config["config"]["layers"] if part["name"] == layer]
    return found["inbound_nodes"]


def loop(config: Any) -> None:
    history(config, "long")[:] = ["head", 0, 0]


def missing_layer(config: Any) -> None:
    history(config, "long")[:] = ["nobody", 0, 0]


def missing_call(config: Any) -> None:
    history(config, "long")[:] = ["short", 1, 0]


def second_result(config: Any) -> None:
    history(config, "long")[:] = ["pixels", 0, 1]


def odd_history(config: Any) -> None:
    history(config, "long")[:] = [["pixels"], {}, 0]


def short_history(config: Any) -> None:
    history(config, "long")[:] = ["pixels"]


def call_options(config: Any) -> None:
    nodes(config, "drop")[0]["kwargs"] = {"training": [True]}


def two_arguments(config: Any) -> None:
    node = nodes(config, "long")[0]
    node["args"] = node["args"] * 2


def never_called(config: Any) -> None:
    nodes(config, "head").clear()


def one_name(config: Any) -> None:
    for part in config["config"]["layers"]:
        if part["name"] in ("short", "long"):
            part["config"]["name"] = "same"


def no_inputs(config: Any) -> None:
    config["config"]["input_layers"] = []


def other_output(config: Any) -> None:
    config["config"]["output_layers"] = ["nobody", 0, 0]


def other_input(config: Any) -> None:
    config["config"]["input_layers"] = ["flat", 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (loop, "some layers have inputs that nothing makes"),
        (missing_layer, "some layers have inputs that nothing makes"),
        (missing_call, "some layers have inputs that nothing makes"),
        (second_result, "a tensor is not valid"),
        (odd_history, "a tensor is not valid"),
        (short_history, "the model cannot be made"),
        (call_options, "the layer 'drop' is called with options"),
        (two_arguments, "the layer 'long' is called with options"),
        (never_called, "the model cannot be made"),
        (one_name, "the layers share a name"),
        (no_inputs, "inputs or outputs are not valid"),
        (other_output, "the model cannot be made"),
        (other_input, "inputs are not valid"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_graphs_that_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    branches().save(tmp_path / "m.keras")
    edit_config(tmp_path / "m.keras", change)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(tmp_path / "m.keras")
    assert str(tmp_path / "m.keras") in str(caught.value)


def test_options_that_say_nothing(tmp_path: Path) -> None:
    """Keras writes such ones for layers that could have a mask."""
    model = branches()
    model.save(tmp_path / "m.keras")

    def change(config: Any) -> None:
        nodes(config, "normal")[0]["kwargs"] = {"mask": None, "training": None}
        nodes(config, "joined")[0]["kwargs"] = {"mask": [None, None, None]}

    edit_config(tmp_path / "m.keras", change)
    assert b'"mask"' in members(tmp_path / "m.keras")[CONFIG]
    assert_same_graph(load_model(tmp_path / "m.keras"), model)
