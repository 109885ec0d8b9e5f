"""Descriptions: what an object writes down makes it again, and nothing else is ever made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import initializers, layers, losses, metrics, optimizers, regularizers
from fastconv.optimizers import schedules
from fastconv.saving.objects import argument_names, describe, known_classes, make
from layer_table import ROWS, Row

each_row = pytest.mark.parametrize("row", ROWS, ids=str)
OBJECTS = [
    initializers.Constant(0.5),
    initializers.GlorotNormal(),
    initializers.GlorotUniform(3),
    initializers.HeNormal(),
    initializers.HeUniform(),
    initializers.Identity(2.0),
    initializers.LecunNormal(),
    initializers.LecunUniform(),
    initializers.Ones(),
    initializers.Orthogonal(0.5, seed=2),
    initializers.RandomNormal(0.5, 2.0),
    initializers.RandomUniform(-1.0, 2.0, seed=4),
    initializers.TruncatedNormal(0.5, 2.0),
    initializers.VarianceScaling(3.0, "fan_out", "uniform"),
    initializers.Zeros(),
    losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
    losses.CategoricalCrossentropy(label_smoothing=0.2, name="c"),
    losses.Huber(delta=0.3),
    losses.MeanAbsoluteError("sum"),
    losses.MeanSquaredError(name="m"),
    losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics.AUC(num_thresholds=11, curve="PR"),
    metrics.Accuracy(),
    metrics.BinaryAccuracy(threshold=0.3),
    metrics.CategoricalAccuracy(name="share"),
    metrics.Mean(),
    metrics.MeanAbsoluteError(),
    metrics.MeanSquaredError(),
    metrics.Precision(thresholds=0.6, class_id=1),
    metrics.Recall(top_k=2),
    metrics.SparseCategoricalAccuracy(),
    metrics.SparseTopKCategoricalAccuracy(k=3),
    metrics.TopKCategoricalAccuracy(k=2),
    optimizers.SGD(0.3, momentum=0.5, nesterov=True, clipvalue=1.0),
    optimizers.Adam(0.002, beta_1=0.8, amsgrad=True, weight_decay=0.1),
    optimizers.AdamW(0.002, weight_decay=0.02, clipnorm=0.5),
    optimizers.RMSprop(schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), centered=True),
    schedules.CosineDecay(0.1, 100, alpha=0.1, warmup_target=0.2, warmup_steps=5),
    schedules.ExponentialDecay(0.1, 10, 0.5),
    schedules.OneCycle(0.1, 100),
    schedules.PiecewiseConstantDecay([10, 20], [0.3, 0.2, 0.1]),
    regularizers.L1(0.1),
    regularizers.L2(0.2),
    regularizers.L1L2(0.1, 0.2),
]


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_the_tables_are_closed() -> None:
    """Every class that a file can name has a row here or in the table of layers; no others do."""
    known = {cls for classes in known_classes().values() for cls in classes.values()}
    tested = {row.kind for row in ROWS} | {type(value) for value in OBJECTS}
    assert known == tested | {layers.InputLayer}
    assert all(cls.__module__.startswith("fastconv.") for cls in known)


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_objects(value: Any) -> None:
    description = describe(value)
    assert description["class_name"] == type(value).__name__
    again = make(through_json(description))
    assert type(again) is type(value)
    assert describe(again) == description
    assert list(description["config"]) == argument_names(type(value))


@each_row
def test_layers(row: Row) -> None:
    layer = row.make(name="one")
    config = through_json(layer.get_config())
    assert set(config) >= {"name", "trainable", "dtype", *row.arguments}
    again = row.kind.from_config(config)
    assert again.get_config() == layer.get_config()
    assert make(through_json(describe(layer))).get_config() == layer.get_config()
    tensors = [keras.Input(shape[1:]) for shape in row.input_shapes]
    assert again(row.inputs(tensors)).shape[1:] == row.output_shape[1:]


def one_layer(row: Row) -> keras.Model:
    inputs = [keras.Input(shape[1:]) for shape in row.input_shapes]
    if len(inputs) == 1:
        return keras.Sequential([inputs[0], row.make()])
    return keras.Model(inputs, row.make()(inputs))


@each_row
def test_layers_in_files(row: Row, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason='files need h5py: pip install "fastconv[files]"')
    model = one_layer(row)
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.5, 1, shape) for shape in row.weights])
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    other = one_layer(row)
    other.load_weights(tmp_path / "m.weights.h5")
    x = row.inputs([rng.normal(size=shape).astype(np.float32) for shape in row.input_shapes])
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    np.testing.assert_array_equal(other.predict(x, verbose=0), expected)
    assert [weight.trainable for weight in loaded.weights] == [
        weight.trainable for weight in model.weights
    ]


def test_inputs() -> None:
    layer = layers.InputLayer((28, None, 1), batch_size=4, name="pixels")
    again = layers.InputLayer.from_config(through_json(layer.get_config()))
    assert again.batch_shape == (4, 28, None, 1)
    assert again.name == "pixels"


@pytest.mark.parametrize("value", [None, 3, [], [None, "a"], [None, -1]])
def test_inputs_that_are_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="shape"):
        layers.InputLayer.from_config({"batch_shape": value})


def test_what_keras_writes_and_fastconv_lacks() -> None:
    """Where it changes nothing it is dropped, where it would it is refused."""
    config = {"units": 2, "lora_rank": None, "quantization_config": None}
    assert layers.Dense.from_config(config).units == 2
    for name, value in [("lora_rank", 4), ("units_2", 1), ("use_ema", True)]:
        with pytest.raises(ValueError, match=f"Dense: {name} is not supported, .*{name}={value}"):
            layers.Dense.from_config({"units": 2, name: value})
    adam = {"learning_rate": 0.1, "use_ema": False, "ema_momentum": 0.99}
    assert optimizers.Adam.from_config(adam).learning_rate == 0.1
    with pytest.raises(ValueError, match="Adam: use_ema is not supported"):
        optimizers.Adam.from_config({**adam, "use_ema": True})


def test_policies_of_dtypes() -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
    assert layers.Dense.from_config({"units": 2, "dtype": policy}).dtype == "float32"
    policy["config"] = {"name": "mixed_bfloat16"}
    with pytest.raises(ValueError, match=r"dtype is not known.*mixed_bfloat16"):
        layers.Dense.from_config({"units": 2, "dtype": policy})


def test_activations_are_names() -> None:
    assert layers.Dense(2, activation=np.tanh).get_config()["activation"] == "tanh"
    function = {"module": "builtins", "class_name": "function", "config": "relu"}
    layer = layers.Dense.from_config({"units": 2, "activation": function})
    assert layer.activation is keras.activations.relu
