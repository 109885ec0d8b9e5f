"""Files that Keras itself wrote: the same outputs, and training that goes on as there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers

pytest.importorskip("h5py", reason='files of Keras need h5py: pip install "fastconv[files]"')

FOLDER = Path(__file__).parent / "data" / "keras_files"
VERSIONS = ["keras-3.0.5", "keras-3.15.1"]
FILES = [f"{version}-{model}" for version in VERSIONS for model in ("chain", "graph")]
STEPS = 3

each_version = pytest.mark.parametrize("version", VERSIONS)
each_file = pytest.mark.parametrize("name", FILES)


def facts_of(name: str) -> Any:
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def series(facts: Any, name: str) -> list[Any]:
    count = sum(key.startswith("weight_") for key in facts)
    return [facts[f"{name}_{index}"] for index in range(count)]


def assert_outputs(model: Any, facts: Any) -> None:
    for found, expected in zip(model.get_weights(), series(facts, "weight"), strict=True):
        np.testing.assert_array_equal(found, expected)
    # Outputs of the order of 1 of two packages that sum at most 100 products in float32.
    outputs = model.predict(facts["x"], verbose=0)
    assert np.ptp(facts["outputs"]) > 0.05
    np.testing.assert_allclose(outputs, facts["outputs"], rtol=0, atol=2e-6)


def assert_training_goes_on(model: Any, facts: Any) -> None:
    assert model.optimizer.iterations == STEPS
    for _ in range(STEPS):
        model.train_on_batch(facts["x"], facts["y"])
    for start, found, expected in zip(
        series(facts, "weight"), model.get_weights(), series(facts, "later"), strict=True
    ):
        change = np.abs(expected - start).max()
        assert change > 0
        # Without the state of the optimizer the first step would be off by as much as it is long.
        # What the packages round differently is 1e-6 of a gradient; Adam, which divides by the size
        # of the gradient, makes that 1e-3 of a step for those near 0.
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 * change)


def test_all_files_are_used() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.keras")) == FILES


@each_file
def test_models(name: str) -> None:
    facts = facts_of(name)
    model = keras.models.load_model(FOLDER / f"{name}.keras")
    assert model.name == name.rsplit("-", 1)[1]
    assert_outputs(model, facts)
    assert_training_goes_on(model, facts)


@each_file
def test_models_without_compile(name: str) -> None:
    model = keras.models.load_model(FOLDER / f"{name}.keras", compile=False)
    assert not model.compiled
    assert_outputs(model, facts_of(name))


@each_file
def test_models_written_again(name: str, tmp_path: Path) -> None:
    """What goes through fastconv loses nothing."""
    keras.models.load_model(FOLDER / f"{name}.keras").save(tmp_path / "again.keras")
    model = keras.models.load_model(tmp_path / "again.keras")
    assert_outputs(model, facts_of(name))
    assert_training_goes_on(model, facts_of(name))


@each_version
def test_what_was_given_to_compile(version: str) -> None:
    chain = keras.models.load_model(FOLDER / f"{version}-chain.keras")
    assert [layer.name for layer in chain.layers][2] == "second"
    assert type(chain.optimizer) is keras.optimizers.Adam
    assert chain.optimizer.learning_rate == pytest.approx(0.01)
    graph = keras.models.load_model(FOLDER / f"{version}-graph.keras")
    assert graph.loss.from_logits
    assert graph.optimizer.momentum == 0.9
    assert graph.optimizer.learning_rate == pytest.approx(0.05 * 0.5**1.5)


@each_version
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_weights(version: str, ending: str) -> None:
    """Into the layers of make.py under other names."""
    facts = facts_of(f"{version}-chain")
    model = keras.Sequential(
        [
            keras.Input((7, 8, 2)),
            layers.Conv2D(3, (3, 2), padding="same", activation="tanh"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(4, 2, use_bias=False),
            layers.Activation("sigmoid"),
            layers.Flatten(),
            layers.Dropout(0.0),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.load_weights(FOLDER / f"{version}-chain{ending}")
    assert_outputs(model, facts)
    assert_training_goes_on(model, facts)
