"""Training of models with several inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from fastconv.callbacks import EarlyStopping
from support.arrays import assert_same_bits

GENERATOR = np.random.default_rng(1)
X = [GENERATOR.normal(size=(10, 3)), GENERATOR.normal(size=(10, 2))]
Y = [np.arange(10) % 2, GENERATOR.normal(size=10)]
LOSSES = ["sparse_categorical_crossentropy", "mse"]


def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    joined = layers.Concatenate()([left, right])
    kind = layers.Dense(2, activation="softmax", name="kind")(joined)
    size = layers.Dense(1, name="size")(joined)
    return keras.Model([left, right], [kind, size])


def compiled(**options: Any) -> keras.Model:
    made = model()
    made.compile(**({"optimizer": keras.optimizers.SGD(0.25), "loss": LOSSES} | options))
    return made


def expected_figures(made: keras.Model) -> dict[str, float]:
    kinds, sizes = (part.astype(np.float64) for part in made.predict(X, verbose=0))
    return {
        "kind_loss": float(-np.mean(np.log(kinds[np.arange(10), Y[0]]))),
        "size_loss": float(np.mean((sizes[:, 0] - Y[1]) ** 2)),
        "kind_accuracy": float(np.mean(kinds.argmax(axis=1) == Y[0])),
        "size_mae": float(np.mean(np.abs(sizes[:, 0] - Y[1]))),
    }


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("factors", [None, [2.0, 0.5]])
def test_figures_have_the_names_of_the_outputs(factors: Any, named: bool) -> None:
    options = {"loss": LOSSES, "metrics": [["accuracy"], ["mae"]], "loss_weights": factors}
    if named:
        names = ("kind", "size")
        options = {
            key: None if value is None else dict(zip(names, value, strict=True))
            for key, value in options.items()
        }
    made = compiled(**options)
    x: Any = {"left": X[0], "right": X[1]} if named else X
    y: Any = {"kind": Y[0], "size": Y[1]} if named else Y
    one, two = factors or (1.0, 1.0)
    expected = expected_figures(made)
    expected = {"loss": one * expected["kind_loss"] + two * expected["size_loss"]} | expected
    figures = made.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    assert list(figures) == list(expected)
    # Sums of ten numbers of about 1 in float32.
    assert figures == pytest.approx(expected, abs=10 * 2.0**-23)
    assert made.evaluate(x, y, batch_size=4, verbose=0) == list(figures.values())
    history = made.fit(x, y, batch_size=4, verbose=0, validation_split=0.2)
    assert list(history.history) == [*expected, *(f"val_{name}" for name in expected)]


def test_a_step_is_that_of_the_sum() -> None:
    """Against two models, each with one output, on the same weights."""
    made = compiled(loss_weights=[2.0, 0.5])
    weights = made.get_weights()
    made.train_on_batch(X, Y)
    joined = np.concatenate(X, axis=1)
    for index, factor in enumerate((2.0, 0.5)):
        activation = "softmax" if index == 0 else None
        single = keras.Sequential([keras.Input((5,)), layers.Dense(2 - index, activation)])
        single.set_weights(weights[2 * index : 2 * index + 2])
        single.compile(keras.optimizers.SGD(0.25 * factor), LOSSES[index])
        single.train_on_batch(joined, Y[index])
        for one, two in zip(single.get_weights(), made.get_weights()[2 * index :], strict=False):
            np.testing.assert_allclose(one, two, rtol=0, atol=30 * 2.0**-24)


def test_one_loss_for_all_outputs() -> None:
    made = compiled(loss="mse")
    targets = [np.eye(2)[Y[0]], Y[1]]
    figures = made.evaluate(X, targets, verbose=0, return_dict=True)
    kinds, sizes = made.predict(X, verbose=0)
    assert figures["kind_loss"] == pytest.approx(np.mean((kinds - targets[0]) ** 2), rel=1e-6)
    assert figures["size_loss"] == pytest.approx(np.mean((sizes[:, 0] - Y[1]) ** 2), rel=1e-6)


def test_weights_of_samples() -> None:
    weights = GENERATOR.integers(0, 3, 10).astype(float)
    for given in (weights, [weights, None], {"kind": weights, "size": weights}):
        made = compiled(weighted_metrics={"kind": "accuracy"})
        kinds, sizes = (part.astype(np.float64) for part in made.predict(X, verbose=0))
        own = np.ones(10) if isinstance(given, list) else weights
        figures = made.evaluate(X, Y, sample_weight=given, verbose=0, return_dict=True)
        logs = -np.log(kinds[np.arange(10), Y[0]])
        right = kinds.argmax(axis=1) == Y[0]
        assert figures["kind_loss"] == pytest.approx(np.mean(logs * weights), rel=1e-6)
        assert figures["size_loss"] == pytest.approx(
            np.mean((sizes[:, 0] - Y[1]) ** 2 * own), rel=1e-6
        )
        assert figures["kind_accuracy"] == pytest.approx(np.sum(right * weights) / weights.sum())


def test_shuffling_keeps_everything_together() -> None:
    """One input says what the other's target is; nothing is learned if they part."""
    x = [np.eye(2)[Y[0]], np.eye(2)[1 - Y[0]]]
    left, right = keras.Input((2,)), keras.Input((2,))
    one = layers.Dense(2, activation="softmax", name="one")(left)
    two = layers.Dense(2, activation="softmax", name="two")(right)
    made = keras.Model([left, right], [one, two])
    made.compile(keras.optimizers.Adam(0.1), LOSSES[0], metrics=["accuracy", "accuracy"])
    made.fit(x, [Y[0], 1 - Y[0]], 3, 40, verbose=0)
    figures = made.evaluate(x, [Y[0], 1 - Y[0]], verbose=0, return_dict=True)
    assert figures["one_accuracy"] == figures["two_accuracy"] == 1


def batches() -> Iterator[Any]:
    for start in range(0, 10, 4):
        rows = slice(start, start + 4)
        yield [part[rows] for part in X], [part[rows] for part in Y]


def test_generators() -> None:
    expected, made = compiled(), compiled()
    expected.fit(X, Y, 4, verbose=0, shuffle=False)
    made.fit(batches(), verbose=0)
    for one, two in zip(expected.get_weights(), made.get_weights(), strict=True):
        assert_same_bits(one, two)
    for one, two in zip(expected.predict(X, 4, verbose=0), made.predict(batches(), verbose=0)):  # noqa: B905
        assert_same_bits(one, two)


def test_monitors_know_the_figures_of_outputs() -> None:
    made = compiled(metrics=[["accuracy"], []])
    for monitor, direction in (
        ("val_kind_accuracy", "max"),
        ("kind_loss", "min"),
        ("val_size_loss", "min"),
        ("val_loss", "min"),
    ):
        stopping = EarlyStopping(monitor)
        made.fit(X, Y, verbose=0, validation_split=0.5, callbacks=stopping)
        assert stopping.direction() == direction


def test_arguments_of_keras_of_no_effect() -> None:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    made.compile("sgd", "mse", run_eagerly=True, steps_per_execution=4, jit_compile=False)
    made.fit(X[1], Y[1], verbose=0)


def test_one_output_by_its_name() -> None:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(1, name="size")])
    made.compile("sgd", {"size": "mse"}, metrics={"size": ["mae"]})
    assert list(made.fit(X[1], Y[1], verbose=0).history) == ["loss", "mae"]
    made.compile("sgd", ["mse"])
    assert made.loss.name == "mean_squared_error"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compiled(loss=["mse"]), "compile: loss must have several parts, expected a list"),
        (lambda: compiled(loss={"kind": "mse"}), "compile: loss must have a part for each name"),
        (lambda: compiled(metrics=["acc"]), "compile: metrics must have several parts"),
        (lambda: compiled(metrics={"sort": "acc"}), "metrics must have a part for each name"),
        (lambda: compiled(loss_weights=[1.0]), "compile: loss_weights must have several parts"),
        (lambda: compiled().fit(X, Y[0]), "fit: y must have several parts"),
        (lambda: compiled().fit(X, [Y[0], Y[1][:5]]), "fit: y must have as many samples as x"),
        (lambda: compiled().fit([X[0], X[1][:5]], Y), "fit: x must have as many samples each"),
        (lambda: compiled().fit(X, Y, class_weight={0: 2.0}), "class_weight needs one label a sa"),
        (
            lambda: compiled().fit(X, Y, sample_weight=[np.ones(10)] * 3),
            "fit: sample_weight must have several parts",
        ),
        (
            lambda: keras.Sequential([layers.Dense(1)]).compile("sgd", "mse", loss_weights=[1.0]),
            "compile: loss_weights need several outputs",
        ),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
