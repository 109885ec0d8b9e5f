"""What may be given to train on: weights of samples and classes, generators, steps, validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from fastconv.models.data import ArrayBatches, StreamBatches
from support.arrays import assert_same_bits

Array = np.ndarray[Any, np.dtype[Any]]
GENERATOR = np.random.default_rng(1)
X = GENERATOR.normal(size=(12, 2)).astype(np.float32)
Y = np.arange(12) % 3
WEIGHTS = GENERATOR.integers(0, 4, 12).astype(np.float32)


def model(loss: Any = "sparse_categorical_crossentropy", **options: Any) -> keras.Sequential:
    keras.utils.set_random_seed(4)
    made = keras.Sequential([keras.Input((2,)), layers.Dense(3, activation="softmax")])
    made.compile(keras.optimizers.SGD(0.5), loss, **options)
    return made


def trained(made: keras.Sequential, *data: Any, **options: Any) -> list[Array]:
    """Weights and figures after training."""
    history = made.fit(*data, verbose=0, **options)
    return [*made.get_weights(), np.array(list(history.history.values()))]


def assert_alike(one: list[Array], two: list[Array], bits: bool = True) -> None:
    for a, b in zip(one, two, strict=True):
        if bits:
            assert_same_bits(a, b)
        else:
            # A few roundings of numbers of about 1 in each of a few steps.
            np.testing.assert_allclose(a, b, rtol=0, atol=100 * 2.0**-24)


# --- weights ------------------------------------------------------------------------------------


def losses_and_slopes(made: keras.Sequential) -> tuple[Array, Array]:
    """For each sample the loss, and its gradient at the logits, in float64."""
    kernel, bias = (weight.astype(np.float64) for weight in made.get_weights())
    logits = X.astype(np.float64) @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(shares[np.arange(12), Y]), shares - np.eye(3)[Y]


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_weights_of_samples(reduction: str, one_hot: bool) -> None:
    kind = keras.losses.CategoricalCrossentropy
    loss: Any = keras.losses.SparseCategoricalCrossentropy(reduction=reduction)
    made = model(kind(reduction=reduction) if one_hot else loss)
    values, slopes = losses_and_slopes(made)
    divisor = {"sum": 1.0, "sum_over_batch_size": 12.0}.get(reduction, float(WEIGHTS.sum()))
    before = made.get_weights()
    targets = np.eye(3)[Y] if one_hot else Y
    received = made.train_on_batch(X, targets, sample_weight=WEIGHTS)
    # Sums of 12 products of numbers of up to 10.
    tolerance = 12 * 10 * 2.0**-23
    assert received == pytest.approx(np.sum(WEIGHTS * values) / divisor, abs=tolerance)
    gradients = X.T @ (WEIGHTS[:, None] * slopes), np.sum(WEIGHTS[:, None] * slopes, axis=0)
    for start, end, gradient in zip(before, made.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(end, start - 0.5 * gradient / divisor, atol=tolerance)


def test_a_weight_of_two_is_the_sample_twice() -> None:
    weights = np.array([2, 1] * 6)
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    one = trained(model(loss), X, Y, 12, sample_weight=weights, shuffle=False)
    order = np.repeat(np.arange(12), weights)
    two = trained(model(loss), X[order], Y[order], 18, shuffle=False)
    assert_alike(one[:-1], two[:-1], bits=False)


def test_weights_stay_with_their_samples() -> None:
    """Samples of weight 0 have labels that would undo all learning."""
    wrong = np.arange(12) % 2 == 0
    labels = np.where(wrong, 0, (X[:, 0] > 0) + 1)
    made = model()
    made.fit(X, labels, 4, 200, verbose=0, sample_weight=1.0 - wrong)
    assert np.array_equal(made.predict(X[~wrong], verbose=0).argmax(axis=1), labels[~wrong])


def test_weights_of_classes_are_weights_of_samples() -> None:
    weights = np.choose(Y, [1.0, 3.0, 0.5])
    expected = trained(model(), X, Y, 5, sample_weight=weights)
    assert_alike(trained(model(), X, Y, 5, class_weight={1: 3.0, 2: 0.5}), expected)
    assert_alike(trained(model(), X, Y[:, None], 5, class_weight={1: 3.0, 2: 0.5}), expected)
    one_hot = keras.utils.to_categorical(Y)
    for options in ({"class_weight": {1: 3.0, 2: 0.5}}, {"sample_weight": weights[:, None]}):
        result = trained(model("categorical_crossentropy"), X, one_hot, 5, **options)
        assert_alike(result, expected, bits=False)
    first, second = model(), model()
    first.train_on_batch(X, Y, class_weight={1: 3.0, 2: 0.5})
    second.train_on_batch(X, Y, sample_weight=weights)
    assert_alike(first.get_weights(), second.get_weights())


def test_metrics_with_and_without_weights() -> None:
    """As in Keras only those of `weighted_metrics` take them."""
    made = model(metrics=["accuracy"], weighted_metrics=["acc"])
    right = made.predict(X, verbose=0).argmax(axis=1) == Y
    figures = made.evaluate(X, Y, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    assert list(figures) == ["loss", "accuracy", "acc"]
    assert figures["accuracy"] == right.mean()
    assert figures["acc"] == np.sum(right * WEIGHTS) / WEIGHTS.sum()
    assert figures["acc"] != figures["accuracy"]
    values, _ = losses_and_slopes(made)
    assert figures["loss"] == pytest.approx(np.mean(values * WEIGHTS), rel=1e-6)
    assert made.test_on_batch(X, Y, WEIGHTS, return_dict=True) == pytest.approx(figures)


def test_weights_of_pixels() -> None:
    x = GENERATOR.normal(size=(4, 3, 3, 1))
    labels = GENERATOR.integers(0, 2, (4, 3, 3))
    weights = GENERATOR.integers(0, 3, (4, 3, 3)).astype(float)
    made = keras.Sequential([keras.Input((3, 3, 1)), layers.Conv2D(2, 1, activation="softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    shares = made.predict(x, verbose=0).astype(float)
    values = -np.log(np.take_along_axis(shares, labels[..., None], axis=-1)[..., 0])
    right = shares.argmax(axis=-1) == labels
    for given in (weights, weights[:, 0, 0]):
        full = np.broadcast_to(given.reshape(given.shape + (1,) * (3 - given.ndim)), labels.shape)
        loss, accuracy = made.evaluate(x, labels, sample_weight=given, batch_size=3, verbose=0)
        assert loss == pytest.approx(np.mean(values * full), rel=1e-6)
        assert accuracy == pytest.approx(np.sum(right * full) / full.sum())


# --- validation ---------------------------------------------------------------------------------


def test_validation_takes_weights() -> None:
    made = model()
    data = X[8:], Y[8:], WEIGHTS[8:]
    history = made.fit(X[:8], Y[:8], verbose=0, validation_data=data).history
    expected = made.evaluate(*data[:2], sample_weight=data[2], verbose=0)
    assert history["val_loss"] == [pytest.approx(expected, rel=1e-6)]


def test_validation_split_splits_the_weights() -> None:
    weighted = model()
    one = trained(weighted, X, Y, 5, validation_split=0.25, sample_weight=WEIGHTS)
    data = X[9:], Y[9:], WEIGHTS[9:]
    two = trained(model(), X[:9], Y[:9], 5, validation_data=data, sample_weight=WEIGHTS[:9])
    assert_alike(one, two)


# --- generators ---------------------------------------------------------------------------------


def stream(size: int = 5, weights: bool = False, repeat: bool = False) -> Iterator[Any]:
    """Batches in order, with lists and integers among them."""
    while True:
        for start in range(0, 12, size):
            rows = slice(start, start + size)
            batch = X[rows].tolist(), Y[rows]
            yield (*batch, WEIGHTS[rows]) if weights else batch
        if not repeat:
            return


class Pages:
    """Batches by number, as Keras' PyDataset gives them."""

    def __init__(self, weights: bool = False) -> None:
        self.batches = list(stream(weights=weights))
        self.epochs = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.batches[index % len(self)]

    def on_epoch_end(self) -> None:
        self.epochs += 1


@pytest.mark.parametrize("weights", [False, True])
def test_generators_train_as_arrays_in_their_order(weights: bool) -> None:
    extra = {"sample_weight": WEIGHTS} if weights else {}
    expected = trained(model(), X, Y, 5, 2, shuffle=False, **extra)
    endless = trained(model(), stream(5, weights, repeat=True), epochs=2, steps_per_epoch=3)
    assert_alike(endless, expected)
    pages = Pages(weights)
    assert_alike(trained(model(), pages, epochs=2), expected)
    assert pages.epochs == 2
    once = trained(model(), stream(5, weights), epochs=1)
    assert_alike(once, trained(model(), X, Y, 5, shuffle=False, **extra))


def test_a_generator_builds_the_model() -> None:
    made = keras.Sequential([layers.Dense(3, activation="softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = made.fit(stream(), verbose=0).history
    assert made.input_shape == (None, 2)
    assert list(history) == ["loss", "accuracy"]


def test_class_weights_of_a_generator() -> None:
    factors = {1: 3.0, 2: 0.5}
    one = trained(model(), stream(), class_weight=factors)
    assert_alike(one, trained(model(), X, Y, 5, shuffle=False, class_weight=factors))


def test_evaluate_and_predict_from_generators() -> None:
    made = model(metrics=["accuracy"])
    expected = made.evaluate(X, Y, 5, verbose=0)
    assert made.evaluate(stream(), verbose=0) == expected
    assert made.evaluate(stream(repeat=True), steps=3, verbose=0) == expected
    assert made.evaluate(X, Y, 5, steps=1, verbose=0) == made.evaluate(X[:5], Y[:5], verbose=0)
    result = made.predict(X, 5, verbose=0)
    assert_same_bits(made.predict(stream(), verbose=0), result)
    assert_same_bits(made.predict((x for x, _ in stream(repeat=True)), steps=3, verbose=0), result)
    assert_same_bits(made.predict(X, 5, steps=2, verbose=0), result[:10])


def test_a_result_that_is_a_view_of_its_input_is_kept() -> None:
    made = keras.Sequential([keras.Input((2, 1)), layers.Flatten()])
    x = X[..., None].astype(np.float64)
    assert_same_bits(made.predict(x, 5, steps=3, verbose=0), X)


def test_validation_from_generators() -> None:
    made = model(metrics=["accuracy"])
    pages = Pages()
    history = made.fit(X, Y, epochs=2, verbose=0, validation_data=pages).history
    assert history["val_accuracy"][-1] == made.evaluate(X, Y, verbose=0)[1]
    history = made.fit(
        X, Y, epochs=2, verbose=0, validation_data=stream(repeat=True), validation_steps=3
    ).history
    assert history["val_loss"][-1] == pytest.approx(made.evaluate(X, Y, 5, verbose=0)[0])


def test_steps_that_divide_an_epoch() -> None:
    """Each epoch goes on where the one before it ended; batches are cut to fit."""
    batches = ArrayBatches((np.arange(12),), 2, steps=4)
    assert (batches.steps, batches.samples) == (4, None)
    first = [batch[0].tolist() for batch in batches.epoch(None)]
    assert first == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.warns(UserWarning, match="the data ended"):
        second = [batch[0].tolist() for batch in batches.epoch(None)]
    assert second == [[8, 9], [10, 11]]
    assert [batch[0].tolist() for batch in batches.epoch(None)] == first
    history = trained(model(), X, Y, steps_per_epoch=4, shuffle=False)
    assert_alike(history, trained(model(), X, Y, 3, shuffle=False))


def test_data_that_end_too_soon_are_told() -> None:
    with pytest.warns(UserWarning, match="the data ended; there were not enough for epochs of 5 b"):
        history = model().fit(stream(), epochs=3, steps_per_epoch=5, verbose=0)
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="the data ended; there were not enough for every epoch"):
        history = model().fit(stream(), epochs=3, verbose=0)
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="the data ended"):
        history = model().fit(stream(), epochs=3, steps_per_epoch=3, verbose=0)
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="the data ended"):
        history = model().fit(X, Y, epochs=2, validation_data=stream(), verbose=0)
    assert len(history.history["val_loss"]) == 1


def test_batches_of_an_iterator_are_taken_when_they_are_needed() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for index in range(10):
            taken.append(index)
            yield index

    batches = StreamBatches(numbers(), lambda index: (np.array([index]),), steps=2)
    for epoch in range(2):
        assert batches.ready()
        assert [batch[0][0] for batch in batches.epoch(None)] == [2 * epoch, 2 * epoch + 1]
    assert taken == [0, 1, 2, 3]


@pytest.mark.parametrize("steps", [None, 3])
def test_what_is_shown_of_a_generator(
    steps: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    model().fit(stream(repeat=steps is not None), steps_per_epoch=steps)
    assert "batches/s - loss: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model().fit(stream(), Y), "fit: y is part of what x gives, expected None with a"),
        (lambda: model().fit(stream(), sample_weight=WEIGHTS), "sample_weight is part of what x"),
        (lambda: model().fit(stream(), validation_split=0.5), "validation_split needs arrays"),
        (lambda: model().fit(iter(())), "fit: x is empty, expected at least one batch"),
        (lambda: model().fit(X, Y, steps_per_epoch=0), "fit: steps must be positive"),
        (
            lambda: model().fit(X, Y, sample_weight=WEIGHTS, class_weight={0: 1.0}),
            "fit: sample_weight cannot be given with class_weight",
        ),
        (lambda: model().fit(X, Y, sample_weight=WEIGHTS[:5]), "sample_weight must have one weigh"),
        (
            lambda: model().fit(X, Y, sample_weight=WEIGHTS[:5], validation_split=0.5),
            r"fit: sample_weight must have one weight a sample, .* received \(5,\)",
        ),
        (lambda: model().fit(X, Y, validation_data=(X,)), "validation_data must be a pair"),
        (lambda: model().fit(((X, Y + 1) for _ in range(2)), verbose=0), "label out of range"),
        (lambda: model(metrics=["recall"]).fit(X, Y, verbose=0), "Recall: y_true must have the sh"),
        (lambda: model(weighted_metrics="acc"), "compile: weighted_metrics must be a list"),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_batches_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match=r"fit: a batch must be a tuple, expected \(x, y\) or"):
        model().fit(iter([X, X]))
    with pytest.raises(TypeError, match="sample_weight must hold real numbers"):
        model().fit(X, Y, sample_weight=["heavy"] * 12)
