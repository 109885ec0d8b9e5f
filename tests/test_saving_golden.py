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
VERSIONS = sorted(path.stem for path in FOLDER.glob("*.keras"))
STEPS = 3


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def facts(version: str) -> Any:
    with np.load(FOLDER / f"{version}.npz") as file:
        return dict(file)


def series(facts: Any, name: str) -> list[Any]:
    return [facts[f"{name}_{index}"] for index in range(5)]


def code() -> keras.Sequential:
    """The layers of make.py, under other names."""
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
    return model


def assert_golden(model: Any, facts: Any) -> None:
    for found, expected in zip(model.get_weights(), series(facts, "weight"), strict=True):
        np.testing.assert_array_equal(found, expected)
    # Probabilities of two packages that sum at most 96 products in float32.
    outputs = model.predict(facts["x"], verbose=0)
    np.testing.assert_allclose(outputs, facts["outputs"], rtol=0, atol=1e-6)
    assert model.optimizer.iterations == STEPS
    for _ in range(STEPS):
        model.train_on_batch(facts["x"], facts["y"])
    for start, found, expected in zip(
        series(facts, "weight"), model.get_weights(), series(facts, "later"), strict=True
    ):
        change = np.abs(expected - start).max()
        # Adam's steps do not depend on the size of a gradient, and forget the state in some 10
        # steps: without that state a step would be as far off as it is long. What the packages
        # round differently is 1e-6 of a gradient, 1e-3 of one near 0.
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 * change)


def test_both_versions_are_there() -> None:
    assert VERSIONS == ["keras-3.0.5", "keras-3.15.1"]


def test_model(version: str, facts: Any) -> None:
    model = keras.models.load_model(FOLDER / f"{version}.keras")
    assert model.name == "golden"
    assert [layer.name for layer in model.layers][2] == "second"
    assert type(model.optimizer) is keras.optimizers.Adam
    assert model.optimizer.learning_rate == pytest.approx(0.01)
    assert_golden(model, facts)


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_weights(version: str, facts: Any, ending: str) -> None:
    model = code()
    model.load_weights(FOLDER / f"{version}{ending}")
    assert_golden(model, facts)


def test_without_compile(version: str, facts: Any) -> None:
    model = keras.models.load_model(FOLDER / f"{version}.keras", compile=False)
    assert not model.compiled
    outputs = model.predict(facts["x"], verbose=0)
    np.testing.assert_allclose(outputs, facts["outputs"], rtol=0, atol=1e-6)


def test_written_again(version: str, facts: Any, tmp_path: Path) -> None:
    """What goes through fastconv loses nothing."""
    model = keras.models.load_model(FOLDER / f"{version}.keras")
    model.save(tmp_path / "again.keras")
    assert_golden(keras.models.load_model(tmp_path / "again.keras"), facts)
