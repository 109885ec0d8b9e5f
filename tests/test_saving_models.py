"""Whole models in `.keras` files: what is written is read, and training goes on bit for bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from seed_models import SEED_MODELS, m1
from support.files import CONFIG, WEIGHTS, assert_same_weights, members, small_model

pytest.importorskip("h5py", reason='files of Keras need h5py: pip install "fastconv[files]"')

load_model = keras.models.load_model


def batch(model: Any, count: int = 8) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 1, (count, *model.input_shape[1:])).astype(np.float32)
    return x, rng.integers(0, model.output_shape[-1], count)


def train(model: Any, steps: int) -> None:
    for _ in range(steps):
        model.train_on_batch(*batch(model))


@pytest.mark.parametrize("name", list(SEED_MODELS))
def test_models_of_the_seeds(name: str, tmp_path: Path) -> None:
    build, _, total = SEED_MODELS[name]
    model = build()
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert type(loaded) is type(model)
    assert loaded.name == model.name
    assert loaded.count_params() == total
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert [layer.get_config() for layer in loaded.layers] == [
        layer.get_config() for layer in model.layers
    ]
    assert_same_weights(loaded, model)
    x, _ = batch(model)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_an_archive_as_keras_writes_it(tmp_path: Path) -> None:
    small_model(compiled=True).save(tmp_path / "m.keras")
    content = members(tmp_path / "m.keras")
    assert list(content) == ["metadata.json", CONFIG, WEIGHTS]
    assert set(json.loads(content["metadata.json"])) >= {"keras_version", "date_saved"}
    config = json.loads(content[CONFIG])
    assert (config["module"], config["class_name"]) == ("keras", "Sequential")
    assert config["config"]["build_input_shape"] == [None, 6, 6, 2]
    described = config["config"]["layers"]
    assert [layer["class_name"] for layer in described] == [
        "InputLayer",
        "Conv2D",
        "Conv2D",
        "Flatten",
        "Dense",
    ]
    assert described[1]["config"]["kernel_initializer"] == {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None},
        "registered_name": None,
    }
    assert set(config["compile_config"]) == {"optimizer", "loss", "metrics"}


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD,
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: keras.optimizers.RMSprop(0.003, momentum=0.3, centered=True),
        lambda: keras.optimizers.Adam(0.003),
        lambda: keras.optimizers.Adam(0.003, amsgrad=True),
    ],
    ids=["sgd", "momentum", "rmsprop", "adam", "amsgrad"],
)
@pytest.mark.parametrize("steps", [0, 3])
def test_training_goes_on_bit_for_bit(optimizer: Any, steps: int, tmp_path: Path) -> None:
    model = m1()  # with a dropout layer, whose masks must go on as well
    model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    train(model, steps)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert loaded.optimizer.iterations == steps
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert_same_weights(loaded, model)
    before = model.get_weights()
    train(model, 3)
    train(loaded, 3)
    assert not np.array_equal(before[0], model.get_weights()[0])
    assert_same_weights(loaded, model)
    x, y = batch(model)
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_the_state_of_dropout_matters(tmp_path: Path) -> None:
    """The test above would not see a lost state if masks did not differ."""
    model = m1()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.keras")
    train(model, 1)
    loaded = load_model(tmp_path / "m.keras")
    (dropout,) = [layer for layer in loaded.layers if layer.random_state is not None]
    assert dropout.random_state[1] == 0
    dropout.random_state = dropout.random_state[0], 10**6
    train(loaded, 1)
    assert not np.array_equal(loaded.get_weights()[-1], model.get_weights()[-1])


def test_a_changed_learning_rate(tmp_path: Path) -> None:
    model = small_model(compiled=True)
    model.optimizer.learning_rate = 0.0123
    model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").optimizer.learning_rate == 0.0123


def test_metrics_losses_and_their_arguments(tmp_path: Path) -> None:
    model = small_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="ce")
    metrics = ["acc", keras.metrics.SparseCategoricalAccuracy(name="share")]
    model.compile("sgd", loss, metrics=metrics)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert loaded.loss.from_logits
    assert loaded.loss.name == "ce"
    x, y = batch(model)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    assert list(expected) == ["loss", "acc", "share"]
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == expected


def test_without_compile(tmp_path: Path) -> None:
    model = small_model(compiled=True)
    train(model, 2)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras", compile=False)
    assert not loaded.compiled
    assert loaded.optimizer is None
    assert_same_weights(loaded, model)


def test_frozen_layers_stay_frozen(tmp_path: Path) -> None:
    model = small_model()
    model.get_layer("first").trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    train(model, 2)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert [layer.trainable for layer in loaded.layers] == [False, True, True, True]
    train(model, 2)
    train(loaded, 2)
    assert_same_weights(loaded, model)


def test_a_model_without_input_shape(tmp_path: Path) -> None:
    model = keras.Sequential([layers.Flatten(), layers.Dense(3)], name="later")
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert not loaded.built
    assert loaded(np.ones((2, 2, 2))).shape == (2, 3)


def test_sizes_that_are_not_known(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((None, None, 2), batch_size=4), layers.Conv2D(3, 3)])
    model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").input_shape == (4, None, None, 2)


def test_seeds_are_as_given() -> None:
    """Keras takes no seed of 2**32 or more: what was drawn for None must not be written."""
    layer = layers.Dense(2, kernel_initializer="he_normal")
    assert layer.get_config()["kernel_initializer"]["config"] == {"seed": None}
    assert layers.Dropout(0.5).get_config()["seed"] is None
    assert layers.Dropout(0.5, seed=-3).get_config()["seed"] == -3


# --- what cannot be saved -------------------------------------------------------------------------


class OwnLayer(layers.Dense):
    """A layer of one's own."""


class OwnLoss(keras.losses.MeanSquaredError):
    """A loss of one's own."""


class OwnModel(keras.Sequential):
    """A model of one's own."""


def test_layers_of_ones_own_cannot_be_saved(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), OwnLayer(2)])
    with pytest.raises(ValueError, match=r"cannot be named in a file.*received OwnLayer"):
        model.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []


def test_models_of_ones_own_cannot_be_saved(tmp_path: Path) -> None:
    model = OwnModel([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"save_weights writes its weights.*OwnModel"):
        model.save(tmp_path / "m.keras")


def test_initializers_of_ones_own_cannot_be_saved(tmp_path: Path) -> None:
    layer = layers.Dense(2, kernel_initializer=np.ones)
    model = keras.Sequential([keras.Input((4,)), layer])
    with pytest.raises(ValueError, match="Dense: kernel_initializer cannot be written to a file"):
        model.save(tmp_path / "m.keras")


@pytest.mark.parametrize(
    "arguments",
    [
        {"loss": OwnLoss()},
        {"loss": "mse", "metrics": [lambda _, y_pred: y_pred[..., 0]]},
    ],
    ids=["loss", "metric"],
)
def test_losses_and_metrics_of_ones_own_are_left_out(arguments: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model.compile("adam", **arguments)
    with pytest.warns(UserWarning, match="will load without what compile"):
        model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert not loaded.compiled
    assert_same_weights(loaded, model)


# --- arguments ------------------------------------------------------------------------------------


def test_paths(tmp_path: Path) -> None:
    model = small_model()
    model.save(str(tmp_path / "m.keras"))
    assert load_model(str(tmp_path / "m.keras")).name == "small"
    with pytest.raises(ValueError, match=r"save: filepath has another ending, expected \.keras"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="load_model: filepath has another ending"):
        load_model(tmp_path / "m.h5")
    with pytest.raises(TypeError, match="load_model: filepath must be a path"):
        load_model(3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "other.keras")


def test_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    model = small_model()
    model.save(path, overwrite=False)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=False"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == before
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save(path)
    assert_same_weights(load_model(path), model)


@pytest.mark.parametrize("options", [{"custom_objects": {"A": int}}, {"safe_mode": False}])
def test_nothing_unsafe_can_be_asked_for(options: Any, tmp_path: Path) -> None:
    small_model().save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="load_model: custom_objects are not supported"):
        load_model(tmp_path / "m.keras", **options)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "fastconv\[files\]"'):
        small_model().save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []
