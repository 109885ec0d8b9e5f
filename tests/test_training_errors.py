"""What training refuses, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers


def model(loss: str = "sparse_categorical_crossentropy", **options: Any) -> keras.Sequential:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(3, activation="softmax")], name="net")
    made.compile("sgd", loss, **options)
    return made


X = np.zeros((6, 2))
Y = np.arange(6) % 3


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_not_compiled(call: str) -> None:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(3)], name="net")
    assert not made.compiled
    with pytest.raises(ValueError, match=rf"{call}: the model net must be compiled first"):
        getattr(made, call)(X, Y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model().fit(X, Y[:5]), "fit: y must have as many samples as x, expected 6, rece"),
        (lambda: model().fit(X[:0], Y[:0]), "fit: x is empty"),
        (lambda: model().fit(X, None), "fit: y must be given"),  # type: ignore[arg-type]
        (lambda: model().fit(np.zeros((6, 3)), Y), r"fit: x does not fit the input of net"),
        (lambda: model().fit(X, Y + 1), "holds a label out of range, expected 0 <= label < 3, "),
        (lambda: model().fit(X, Y - 1), r"received -1 .. 1"),
        (lambda: model().fit(X, np.eye(3)[Y]), "does not fit the output of the model .one-hot"),
        (
            lambda: model("categorical_crossentropy").fit(X, Y),
            r"does not fit the output of the model \(integer labels: sparse_categorical_cross",
        ),
        (
            lambda: model("categorical_crossentropy").fit(X, np.eye(4)[Y]),
            r"expected shape \(6, 3\), received \(6, 4\)",
        ),
        (lambda: model("mse").fit(X, Y), "does not fit the output of the model"),
        (lambda: model().fit(X, Y, batch_size=0), "fit: batch_size must be positive"),
        (lambda: model().fit(X, Y, epochs=0), "fit: epochs must be positive"),
        (lambda: model().fit(X, Y, initial_epoch=-1), "fit: initial_epoch must not be negative"),
        (lambda: model().fit(X, Y, validation_freq=0), "fit: validation_freq must be positive"),
        (lambda: model().fit(X, Y, verbose=3), 'verbose is not known, expected "auto", 0, 1 or 2'),
        (lambda: model().evaluate(X, Y, verbose="x"), "evaluate: verbose is not known"),
        (lambda: model().predict(X, verbose=-1), "predict: verbose is not known"),
        (lambda: model().fit(X, Y, validation_split=1.5), "validation_split is out of range"),
        (lambda: model().fit(X, Y, validation_split=-0.5), "validation_split is out of range"),
        (lambda: model().fit(X, Y, validation_split=0.99), "leaves no samples on one side"),
        (lambda: model().fit(X, Y[:3], validation_split=0.5), "y must have as many samples as x"),
        (lambda: model().fit(X, Y, validation_data=X), "validation_data must be a pair"),  # type: ignore[arg-type]
        (
            lambda: model().fit(X, Y, validation_data=(X, Y[:2])),
            "fit: validation_data: y must have as many samples as x",
        ),
        (lambda: model("hinge"), "losses.get: identifier is not known, expected one of"),
        (lambda: model(metrics=["magic"]).evaluate(X, Y, verbose=0), "metrics.get: identifier is"),
        (lambda: model(metrics="accuracy"), "compile: metrics must be a list"),
        (lambda: model(None), "compile: loss must be given"),  # type: ignore[arg-type]
        (
            lambda: classless().fit(X, Y, verbose=0),
            "reduction cannot be trained",
        ),
    ],
)
def test_values(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def classless() -> keras.Sequential:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    made.compile("sgd", loss)
    return made


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model().fit(X, Y + 0.5), "y_true must be whole"),
        (lambda: model().fit(X, np.full(6, "a")), "y_true must hold real numbers"),
        (lambda: model().fit(X, Y, batch_size=2.5), "batch_size must be an integer"),  # type: ignore[arg-type]
        (lambda: model().fit(X, Y, callbacks=["early"]), "callbacks must hold callbacks"),  # type: ignore[list-item]
        (lambda: model().fit(X, Y, class_weight=[1.0]), "class_weight must be a dict"),  # type: ignore[arg-type]
        (lambda: model().compile(3, "mse"), "optimizers.get: identifier must be an optimizer"),  # type: ignore[arg-type]
        (lambda: model().compile("sgd", np.mean), "losses.get: identifier must be a loss"),  # type: ignore[arg-type]
    ],
)
def test_types(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def test_a_failed_call_changes_nothing() -> None:
    made = model()
    before = made.get_weights()
    with pytest.raises(ValueError, match="label out of range"):
        made.fit(X, Y + 1)
    for one, two in zip(before, made.get_weights(), strict=True):
        assert np.array_equal(one, two)
    made.fit(X, Y, verbose=0)


def test_an_optimizer_serves_one_model() -> None:
    optimizer = keras.optimizers.Adam()
    for index in range(2):
        made = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
        made.compile(optimizer, "mse")
        if index == 0:
            made.train_on_batch(X, np.zeros((6, 3)))
            made.compile(optimizer, "mse")
            made.train_on_batch(X, np.zeros((6, 3)))
            assert optimizer.iterations == 2
        else:
            with pytest.raises(ValueError, match="the optimizer serves another model"):
                made.train_on_batch(X, np.zeros((6, 3)))


def test_layers_added_after_training_need_a_new_optimizer() -> None:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    made.compile("sgd", "mse")
    made.train_on_batch(X, np.zeros((6, 3)))
    made.add(layers.Dense(20))
    with pytest.raises(ValueError, match="the optimizer has state for other weights"):
        made.train_on_batch(X, np.zeros((6, 20)))
    made.compile("sgd", "mse")
    made.train_on_batch(X, np.zeros((6, 20)))
