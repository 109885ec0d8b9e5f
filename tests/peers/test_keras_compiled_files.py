"""Compiled models in files of Keras: training that started in one package goes on in the other."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from support.beside_keras import (
    IGNORED_WARNINGS,
    MODELS,
    OUTPUT_TOLERANCE,
    Side,
    assert_same_outputs,
    assert_same_weights,
    branches,
    digits,
    inputs,
    keras,
    shake,
)

h5py = pytest.importorskip("h5py", reason='files need h5py: pip install "fastconv[files]"')

pytestmark = IGNORED_WARNINGS


def labels(model: Any, count: int = 8) -> Any:
    return np.random.default_rng(6).integers(0, model.output_shape[-1], count)


# --- the models of the seeds, after a step of training --------------------------------------------


def compiled_model(side: Side, package: Any) -> Any:
    model = side.build(package)
    shake(model)
    model.compile("adam", side.loss(package), metrics=["accuracy"])
    return model


def contents(path: Path) -> dict[str, Any]:
    """Every array of a file: weights, the state of the optimizer, and that of random layers."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            path = Path(archive.extract("model.weights.h5", path.with_suffix("")))
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: item[()]} if isinstance(item, h5py.Dataset) else {}
            )
        )
    return found


def assert_same_contents(one: Path, other: Path) -> None:
    """What one package read and wrote again is what the other had written, bit for bit."""
    found, expected = contents(one), contents(other)
    # The step, the learning rate, and two averages for each of at least six weights.
    assert sum(name.startswith("optimizer/") for name in expected) >= 2 + 2 * 6
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("side", MODELS.values(), ids=MODELS)
def test_models_of_keras(side: Side, tmp_path: Path) -> None:
    theirs = compiled_model(side, keras)
    theirs.train_on_batch(*digits(theirs, 0, 8))
    theirs.save(tmp_path / "m.keras")
    theirs.save_weights(tmp_path / "m.weights.h5")

    ours = fastconv.models.load_model(tmp_path / "m.keras")
    assert ours.compiled
    assert_same_outputs(ours, theirs)
    ours.save(tmp_path / "copy.keras")
    assert_same_contents(tmp_path / "copy.keras", tmp_path / "m.keras")

    ours = compiled_model(side, fastconv)
    ours.load_weights(tmp_path / "m.weights.h5")
    assert_same_outputs(ours, theirs)
    ours.save_weights(tmp_path / "copy.weights.h5")
    assert_same_contents(tmp_path / "copy.weights.h5", tmp_path / "m.weights.h5")


@pytest.mark.parametrize("side", MODELS.values(), ids=MODELS)
def test_models_for_keras(side: Side, tmp_path: Path) -> None:
    ours = compiled_model(side, fastconv)
    ours.train_on_batch(*digits(ours, 0, 8))
    ours.save(tmp_path / "m.keras")
    ours.save_weights(tmp_path / "m.weights.h5")

    theirs = keras.models.load_model(tmp_path / "m.keras")
    assert theirs.compiled
    assert_same_outputs(ours, theirs)
    theirs.save(tmp_path / "copy.keras")
    assert_same_contents(tmp_path / "copy.keras", tmp_path / "m.keras")

    theirs = compiled_model(side, keras)
    # Keras reads the state of an optimizer only where there is one already.
    theirs.optimizer.build(theirs.trainable_variables)
    theirs.load_weights(tmp_path / "m.weights.h5")
    assert_same_outputs(ours, theirs)
    theirs.save_weights(tmp_path / "copy.weights.h5")
    assert_same_contents(tmp_path / "copy.weights.h5", tmp_path / "m.weights.h5")


# --- every optimizer -----------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda k: k.optimizers.SGD(0.05),
    "momentum": lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda k: k.optimizers.RMSprop(1e-3, momentum=0.5, centered=True),
    "adam": lambda k: k.optimizers.Adam(1e-3),
    "amsgrad": lambda k: k.optimizers.Adam(2e-3, beta_1=0.8, amsgrad=True),
    "adamw": lambda k: k.optimizers.AdamW(
        k.optimizers.schedules.ExponentialDecay(1e-3, 2, 0.5), weight_decay=0.1, clipnorm=0.5
    ),
}


def small(k: Any) -> Any:
    """No maxima and no dropout: nothing that would turn a rounding error into a jump."""
    return k.Sequential(
        [
            k.Input((8, 8, 2)),
            k.layers.Conv2D(4, 3, activation="tanh"),
            k.layers.Flatten(),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def compiled(k: Any, optimizer: str) -> Any:
    model = small(k)
    loss = k.losses.SparseCategoricalCrossentropy()
    metrics = ["accuracy", k.metrics.SparseCategoricalAccuracy(name="share")]
    model.compile(OPTIMIZERS[optimizer](k), loss, metrics=metrics)
    return model


def train(model: Any, steps: int) -> None:
    for _ in range(steps):
        model.train_on_batch(inputs(model), labels(model))


def assert_training_goes_on(one: Any, other: Any) -> None:
    """The same steps on both sides, from the same weights and the same state of the optimizer."""
    assert_same_weights(one, other)
    before = one.get_weights()
    assert int(one.optimizer.iterations) == int(other.optimizer.iterations)
    train(one, 3)
    train(other, 3)
    for start, first, second in zip(before, one.get_weights(), other.get_weights(), strict=True):
        change = np.abs(first - start).max()
        assert change > 0
        # Sums of some hundred products: 1e-6 of a gradient. Adam divides by the gradient's own
        # size, which for those near 0 turns that into 1e-3 of a step.
        np.testing.assert_allclose(first, second, rtol=0, atol=2e-3 * change)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_training_started_in_keras_goes_on(optimizer: str, tmp_path: Path) -> None:
    theirs = compiled(keras, optimizer)
    shake(theirs)
    train(theirs, 4)
    theirs.save(tmp_path / "m.keras")
    ours = fastconv.models.load_model(tmp_path / "m.keras")
    assert ours.compiled
    assert_training_goes_on(ours, theirs)
    x, y = inputs(ours), labels(ours)
    figures = ours.evaluate(x, y, verbose=0, return_dict=True)
    expected = theirs.evaluate(x, y, verbose=0, return_dict=True)
    assert figures == pytest.approx(expected, abs=1e-4)


def test_training_of_a_graph_goes_on(tmp_path: Path) -> None:
    """The state of each weight finds its weight, in whatever order a graph has them."""
    theirs = branches(keras)
    shake(theirs)
    theirs.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    train(theirs, 4)
    theirs.save(tmp_path / "theirs.keras")
    ours = fastconv.models.load_model(tmp_path / "theirs.keras")
    assert_training_goes_on(ours, theirs)
    ours.save(tmp_path / "ours.keras")
    assert_training_goes_on(keras.models.load_model(tmp_path / "ours.keras"), ours)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    def build(k: Any) -> Any:
        left, right = k.Input((6, 5, 2), name="left"), k.Input((4,), name="right")
        x = k.layers.Flatten()(k.layers.Conv2D(3, 3)(left))
        x = k.layers.Concatenate()([x, k.layers.Dense(3, name="of_right")(right)])
        digit = k.layers.Dense(4, activation="softmax", name="digit")(x)
        size = k.layers.Dense(1, name="size")(x)
        model = k.Model(inputs=[left, right], outputs=[digit, size])
        model.compile(
            "adam",
            ["sparse_categorical_crossentropy", "mse"],
            loss_weights=[1.0, 0.5],
            metrics=[["accuracy"], ["mae"]],
        )
        return model

    rng = np.random.default_rng(3)
    x = [rng.normal(size=(8, 6, 5, 2)).astype("f4"), rng.normal(size=(8, 4)).astype("f4")]
    y = [rng.integers(0, 4, 8), rng.normal(size=(8, 1)).astype("f4")]
    for one, other in [(keras, fastconv), (fastconv, keras)]:
        model = build(one)
        model.train_on_batch(x, y)
        model.save(tmp_path / "m.keras")
        loaded = other.models.load_model(tmp_path / "m.keras")
        assert_same_weights(model, loaded)
        for found, expected in zip(
            loaded.predict(x, verbose=0), model.predict(x, verbose=0), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=0, atol=OUTPUT_TOLERANCE)
        assert loaded.evaluate(x, y, verbose=0) == pytest.approx(
            model.evaluate(x, y, verbose=0), abs=1e-4
        )


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_training_started_in_fastconv_goes_on(optimizer: str, tmp_path: Path) -> None:
    ours = compiled(fastconv, optimizer)
    shake(ours)
    train(ours, 4)
    ours.save(tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras")
    assert theirs.compiled
    assert theirs.loss.get_config()["reduction"] == "sum_over_batch_size"
    assert_training_goes_on(theirs, ours)


def test_optimizers_in_weights_files(tmp_path: Path) -> None:
    theirs = compiled(keras, "adam")
    train(theirs, 4)
    theirs.save_weights(tmp_path / "keras.weights.h5")
    ours = compiled(fastconv, "adam")
    ours.load_weights(tmp_path / "keras.weights.h5")
    assert_training_goes_on(ours, theirs)

    ours.save_weights(tmp_path / "fastconv.weights.h5")
    again = compiled(keras, "adam")
    train(again, 1)  # Keras reads the state of an optimizer only where there is one already.
    again.load_weights(tmp_path / "fastconv.weights.h5")
    assert_training_goes_on(again, ours)


def test_compiled_and_not_trained(tmp_path: Path) -> None:
    theirs = compiled(keras, "adam")
    theirs.save(tmp_path / "keras.keras")
    ours = fastconv.models.load_model(tmp_path / "keras.keras")
    assert_training_goes_on(ours, theirs)

    ours = compiled(fastconv, "adam")
    ours.save(tmp_path / "fastconv.keras")
    theirs = keras.models.load_model(tmp_path / "fastconv.keras")
    assert_training_goes_on(theirs, ours)


def test_compilation_by_names(tmp_path: Path) -> None:
    theirs = small(keras)
    theirs.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["acc"])
    theirs.save(tmp_path / "m.keras")
    ours = fastconv.models.load_model(tmp_path / "m.keras")
    assert type(ours.optimizer) is fastconv.optimizers.RMSprop
    assert type(ours.loss) is fastconv.losses.SparseCategoricalCrossentropy
    figures = ours.evaluate(inputs(ours), labels(ours), verbose=0, return_dict=True)
    assert list(figures) == ["loss", "acc"]
    assert not fastconv.models.load_model(tmp_path / "m.keras", compile=False).compiled
