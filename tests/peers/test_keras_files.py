"""Files of Keras in fastconv and the other way round: whole models, every layer, and weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from layer_table import ROWS, Row
from support import beside_keras
from support.beside_keras import (
    IGNORED_WARNINGS,
    assert_same_outputs,
    assert_same_weights,
    branches,
    keras,
    shake,
)

pytest.importorskip("h5py", reason='files of Keras need h5py: pip install "fastconv[files]"')

pytestmark = [
    *IGNORED_WARNINGS,
    pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`"),
]


def many_options(k: Any) -> Any:
    """Every layer that a `Sequential` of either package can hold, away from its defaults."""
    return k.Sequential(
        [
            k.Input((12, 14, 4), batch_size=None, name="pixels"),
            k.layers.Conv2D(
                6,
                (3, 2),
                strides=2,
                padding="same",
                groups=2,
                use_bias=False,
                kernel_initializer=k.initializers.HeNormal(seed=7),
                name="strided",
            ),
            k.layers.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.05),
            k.layers.Conv2D(4, 2, dilation_rate=(1, 2), activation="tanh", trainable=False),
            k.layers.MaxPooling2D((2, 1), strides=1, padding="same"),
            k.layers.Activation("sigmoid", name="squash"),
            k.layers.Flatten(),
            k.layers.Dropout(0.25, seed=3),
            k.layers.Dense(5, kernel_initializer="random_normal", bias_initializer="ones"),
            k.layers.Softmax(),
        ],
        name="options",
    )


MODELS: dict[str, Callable[[Any], Any]] = {
    **{name: side.build for name, side in beside_keras.MODELS.items()},
    "options": many_options,
    "branches": branches,
}


@pytest.fixture(params=list(MODELS))
def build(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]


# --- whole models ---------------------------------------------------------------------------------


def test_keras_to_fastconv(build: Any, tmp_path: Path) -> None:
    theirs = build(keras)
    shake(theirs)
    theirs.save(tmp_path / "m.keras")
    ours = fastconv.models.load_model(tmp_path / "m.keras")
    assert ours.name == theirs.name
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert not ours.compiled
    assert_same_weights(ours, theirs)
    assert_same_outputs(ours, theirs)


def test_fastconv_to_keras(build: Any, tmp_path: Path) -> None:
    ours = build(fastconv)
    shake(ours)
    ours.save(tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras")
    assert theirs.name == ours.name
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in ours.layers]
    assert not theirs.compiled
    assert_same_weights(ours, theirs)
    assert_same_outputs(ours, theirs)


def test_configurations_are_keras(build: Any, tmp_path: Path) -> None:
    """What Keras makes of our file is what it makes of the same code."""
    build(fastconv).save(tmp_path / "m.keras")
    read = keras.models.load_model(tmp_path / "m.keras")
    written = build(keras)
    for ours, theirs in zip(read.layers, written.layers, strict=True):
        found, expected = ours.get_config(), theirs.get_config()
        for config in (found, expected):
            del config["name"]
        assert found == expected


# --- every layer ----------------------------------------------------------------------------------

ONE_INPUT = [row for row in ROWS if not isinstance(row.input_shape, list)]


def one_layer(k: Any, row: Row) -> Any:
    arguments = dict(row.arguments)
    if row.kind is fastconv.layers.AveragePooling2D:
        arguments.setdefault("pool_size", 2)  # Keras has a default for maxima alone.
    layer = getattr(k.layers, row.kind.__name__)(**arguments)
    return k.Sequential([k.Input(row.input_shape[1:]), layer])


@pytest.mark.parametrize("row", ONE_INPUT, ids=str)
def test_layers(row: Row, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    ours, theirs = one_layer(fastconv, row), one_layer(keras, row)
    weights = [rng.uniform(0.5, 1, shape).astype(np.float32) for shape in row.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    x = rng.normal(size=row.input_shape).astype(np.float32)
    expected = theirs.predict(x, verbose=0)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    read, written = (
        fastconv.models.load_model(tmp_path / "theirs.keras"),
        keras.models.load_model(tmp_path / "ours.keras"),
    )
    for model in (ours, read, written):
        assert_same_weights(model, theirs)
        # Sums of at most 36 products of the order of 1.
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)
    found, wanted = written.layers[0].get_config(), theirs.layers[0].get_config()
    for config in (found, wanted):
        del config["name"]
    assert found == wanted


# --- weights --------------------------------------------------------------------------------------


def test_weights_of_keras(build: Any, tmp_path: Path) -> None:
    theirs = build(keras)
    shake(theirs)
    theirs.save_weights(tmp_path / "m.weights.h5")
    ours = build(fastconv)
    ours.load_weights(tmp_path / "m.weights.h5")
    assert_same_weights(ours, theirs)
    assert_same_outputs(ours, theirs)


def test_weights_for_keras(build: Any, tmp_path: Path) -> None:
    ours = build(fastconv)
    shake(ours)
    ours.save_weights(tmp_path / "m.weights.h5")
    theirs = build(keras)
    theirs.load_weights(tmp_path / "m.weights.h5")
    assert_same_weights(ours, theirs)
    assert_same_outputs(ours, theirs)


def test_weights_out_of_a_model_file(tmp_path: Path) -> None:
    theirs, ours = (MODELS["M1"](package) for package in (keras, fastconv))
    theirs.save(tmp_path / "m.keras")
    ours.load_weights(tmp_path / "m.keras")
    assert_same_weights(ours, theirs)


# --- what fastconv does not have ------------------------------------------------------------------


def test_layers_that_fastconv_does_not_have_are_listed(tmp_path: Path) -> None:
    theirs = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3),
            keras.layers.Reshape((6, 12)),
            keras.layers.LSTM(4, name="memory"),
            keras.layers.Lambda(lambda x: x * 2, name="twice"),
        ]
    )
    theirs.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="layers that fastconv does not have") as caught:
        fastconv.models.load_model(tmp_path / "m.keras")
    assert "LSTM (keras.layers, 'memory')" in str(caught.value)
    assert "Lambda (keras.layers, 'twice')" in str(caught.value)


def test_options_that_fastconv_does_not_have(tmp_path: Path) -> None:
    constraint = keras.constraints.NonNeg()
    theirs = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2, kernel_constraint=constraint)]
    )
    theirs.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="Dense: kernel_constraint is not supported"):
        fastconv.models.load_model(tmp_path / "m.keras")
