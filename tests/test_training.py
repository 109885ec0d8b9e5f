"""fit, evaluate and the steps under them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, losses
from fastconv.callbacks import Callback
from seed_models import m1
from support.arrays import assert_same_bits

Array = np.ndarray[Any, np.dtype[Any]]


def blobs(samples: int = 90) -> tuple[Array, Array]:
    """Three classes of points that lines can part."""
    generator = np.random.default_rng(5)
    labels = np.arange(samples) % 3
    centres = np.array([[2.0, 0.0], [-2.0, 2.0], [-2.0, -2.0]])
    return centres[labels] + generator.normal(0, 0.3, (samples, 2)), labels


def classifier(dropout: float = 0.0) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(16, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(3, activation="softmax"),
        ]
    )


def compiled(dropout: float = 0.0, **options: Any) -> keras.Sequential:
    model = classifier(dropout)
    options = {"optimizer": keras.optimizers.Adam(0.01), "metrics": ["accuracy"]} | options
    model.compile(loss="sparse_categorical_crossentropy", **options)
    return model


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", keras.optimizers.SGD(0.1, momentum=0.9)])
def test_fit_learns(optimizer: Any) -> None:
    keras.utils.set_random_seed(1)
    x, y = blobs()
    model = classifier()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=16, epochs=60, verbose=0)
    assert list(history.history) == ["loss", "accuracy"]
    assert history.epoch == list(range(60))
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert model.evaluate(x, y, verbose=0)[1] == 1.0
    assert model.history is history


def run(seed: int = 3, threads: int = 1, shuffle: bool = True) -> list[Array]:
    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(0)
    x = generator.random((70, 28, 28, 1)).astype(np.float32)
    y = generator.integers(0, 10, 70)
    with keras.num_threads(threads):
        model = m1()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=shuffle)
    return [*model.get_weights(), np.array(list(history.history.values()))]


def test_a_seed_repeats_a_run_bit_for_bit_at_any_thread_count() -> None:
    first = run()
    for other in (run(), run(threads=2)):
        for one, two in zip(first, other, strict=True):
            assert_same_bits(one, two)
    assert not np.array_equal(first[0], run(seed=4)[0])
    assert not np.array_equal(first[0], run(shuffle=False)[0])


def test_bits_do_not_depend_on_the_level_within_one_run(isa: str) -> None:
    assert keras.active_isa() == isa
    for one, two in zip(run(), run(), strict=True):
        assert_same_bits(one, two)


def test_one_step_by_hand() -> None:
    """Gradient descent on a linear model and mean squared error."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.set_weights([np.array([[1.0], [2.0]]), np.array([3.0])])
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    # Predictions 4, 5; errors 4, 3; loss (16 + 9) / 2; gradients (2/2) * errors on each input.
    loss = model.train_on_batch(x, np.array([[0.0], [2.0]]))
    assert loss == 12.5
    assert [w.tolist() for w in model.get_weights()] == [[[-1.0], [0.5]], [-0.5]]


def test_loss_and_metrics_are_means_over_samples() -> None:
    x, y = blobs(50)
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(x, y, batch_size=16, verbose=0)
    p = model.predict(x, verbose=0).astype(np.float64)
    expected = [-np.mean(np.log(p[np.arange(50), y])), np.mean(p.argmax(axis=1) == y)]
    # Losses of about 1 in float32: a few roundings each.
    tolerance = 10 * 2.0**-23
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(expected, abs=tolerance)
    assert history.history["loss"] == pytest.approx(expected[:1], abs=tolerance)
    assert history.history["accuracy"] == expected[1:]


def test_what_evaluate_returns() -> None:
    x, y = blobs()
    with_metric, without = compiled(), compiled(metrics=None)
    assert isinstance(without.evaluate(x, y, verbose=0), float)
    loss, accuracy = with_metric.evaluate(x, y, verbose=0)
    figures = with_metric.evaluate(x, y, verbose=0, return_dict=True)
    assert figures == {"loss": loss, "accuracy": accuracy}
    assert with_metric.test_on_batch(x, y, return_dict=True).keys() == figures.keys()
    assert with_metric.train_on_batch(x, y, return_dict=True).keys() == figures.keys()


def test_batch_figures_are_of_that_batch_alone() -> None:
    x, y = blobs()
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    first = model.train_on_batch(x[:30], y[:30])
    model.train_on_batch(x[30:], y[30:])
    assert model.train_on_batch(x[:30], y[:30]) == first
    assert model.test_on_batch(x[:30], y[:30]) == first


@pytest.mark.parametrize("batch_size", [1, 7, 90, 1000, None])
def test_every_sample_is_seen_once_an_epoch(batch_size: int | None) -> None:
    seen: list[Array] = []

    class Spy(layers.Layer):
        def compute_output_shape(
            self, input_shape: tuple[int | None, ...]
        ) -> tuple[int | None, ...]:
            return input_shape

        def forward(self, x: Any, *, training: bool) -> tuple[Any, Any]:
            assert training
            seen.append(x.copy())
            return x, None

    model = keras.Sequential([keras.Input((1,)), Spy(), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(np.arange(90), np.arange(90), batch_size, epochs=2, verbose=0)
    size = min(batch_size or 32, 90)
    sizes = [len(batch) for batch in seen]
    assert sizes == 2 * [min(size, 90 - start) for start in range(0, 90, size)]
    epochs = np.split(np.concatenate(seen)[:, 0], 2)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(90))
    assert epochs[0].tolist() != list(range(90))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_inputs_and_targets_stay_together() -> None:
    """A model that can only learn y = x exactly does so, whatever the order of the samples."""
    x = np.random.default_rng(2).normal(size=(64, 1))
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.3), "mse")
    loss = model.fit(x, 2 * x, batch_size=8, epochs=30, verbose=0).history["loss"][-1]
    assert loss < 1e-9
    assert model.get_weights()[0][0, 0] == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float32])
def test_input_dtypes_train_alike(dtype: Any) -> None:
    results = []
    x = np.random.default_rng(2).integers(0, 9, (20, 28, 28)).astype(np.uint8)
    for inputs in (x.astype(dtype), x[..., None].astype(np.float32)):
        keras.utils.set_random_seed(1)
        model = m1()
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(inputs, np.arange(20) % 10, batch_size=8, verbose=0)
        results.append(model.get_weights())
        assert np.array_equal(inputs.reshape(20, 28, 28), x)
    for one, two in zip(*results, strict=True):
        assert_same_bits(one, two)


def test_target_dtypes_and_shapes_train_alike() -> None:
    x, y = blobs()
    results = []
    for loss, targets in [
        ("sparse_categorical_crossentropy", y),
        ("sparse_categorical_crossentropy", y[:, None].astype(np.uint8)),
        ("sparse_categorical_crossentropy", y.astype(np.float64)),
        ("categorical_crossentropy", keras.utils.to_categorical(y)),
    ]:
        keras.utils.set_random_seed(1)
        model = classifier()
        model.compile("sgd", loss, metrics=["accuracy"])
        history = model.fit(x, targets, verbose=0).history
        results.append([*model.get_weights(), np.array(list(history.values()))])
    for other in results[1:3]:
        for one, two in zip(results[0], other, strict=True):
            assert_same_bits(one, two)
    # One-hot targets take another path; a step of plain descent is off by a few roundings.
    for one, two in zip(results[0], results[3], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_frozen_layers_do_not_move() -> None:
    x, y = blobs()
    model = compiled()
    model.layers[0].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    assert_same_bits(after[0], before[0])
    assert_same_bits(after[1], before[1])
    assert not np.array_equal(after[2], before[2])
    model.layers[0].trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_models_that_share_layers() -> None:
    """Each model trains the one set of weights, whichever buffer they are in."""
    x, y = blobs()
    shared = layers.Dense(16, activation="relu", input_shape=(2,))
    one = keras.Sequential([shared, layers.Dense(3, activation="softmax")])
    two = keras.Sequential([shared, layers.Dense(1)])
    one.compile("sgd", "sparse_categorical_crossentropy")
    two.compile("sgd", "mse")
    for model, targets in [(one, y), (two, y), (one, y)]:
        before = shared.get_weights()[0]
        model.train_on_batch(x, targets)
        assert not np.array_equal(shared.get_weights()[0], before)
        assert_same_bits(one.get_weights()[0], two.get_weights()[0])


def test_dropout_trains_with_masks_and_evaluates_without() -> None:
    keras.utils.set_random_seed(1)
    x, y = blobs()
    model = compiled(dropout=0.5, optimizer=keras.optimizers.SGD(0.0))
    losses_of_steps = {model.train_on_batch(x, y)[0] for _ in range(5)}
    assert len(losses_of_steps) == 5
    assert len({model.evaluate(x, y, verbose=0)[0] for _ in range(3)}) == 1


def test_validation_data_is_not_trained_on() -> None:
    x, y = blobs()
    model = compiled()
    history = model.fit(x[:60], y[:60], epochs=2, validation_data=(x[60:], y[60:]), verbose=0)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    loss, accuracy = model.evaluate(x[60:], y[60:], verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-6)
    assert history.history["val_accuracy"][-1] == accuracy


def test_validation_split_takes_the_last_samples() -> None:
    x, y = blobs()
    results = []
    for options, (inputs, targets) in [
        ({"validation_split": 0.25}, (x, y)),
        ({"validation_data": (x[67:], y[67:])}, (x[:67], y[:67])),
    ]:
        keras.utils.set_random_seed(1)
        model = compiled()
        history = model.fit(inputs, targets, verbose=0, **options)  # type: ignore[arg-type]
        results.append([*model.get_weights(), np.array(list(history.history.values()))])
    for one, two in zip(*results, strict=True):
        assert_same_bits(one, two)


def test_validation_frequency() -> None:
    x, y = blobs()
    history = compiled().fit(x, y, epochs=5, validation_split=0.5, validation_freq=2, verbose=0)
    assert len(history.history["loss"]) == 5
    assert len(history.history["val_loss"]) == 2


def test_initial_epoch() -> None:
    history = compiled().fit(*blobs(), epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4]


def test_stop_training() -> None:
    class Stop(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.model.stop_training = batch == 1

    model = compiled()
    history = model.fit(*blobs(), batch_size=10, epochs=3, callbacks=[Stop()], verbose=0)
    assert history.epoch == [0]
    assert model.optimizer is not None
    assert model.optimizer.iterations == 2


def test_weights_can_be_set_during_training() -> None:
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    model.fit(*blobs(), verbose=0)
    zeros = [np.zeros_like(weight) for weight in model.get_weights()]
    model.set_weights(zeros)
    loss, _ = model.evaluate(*blobs(), verbose=0)
    assert loss == pytest.approx(np.log(3), rel=1e-6)
    model.fit(*blobs(), verbose=0)
    assert all(not weight.any() for weight in model.get_weights())


def test_learning_rate_can_be_set_between_steps() -> None:
    x, y = blobs()
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    before = model.get_weights()
    model.train_on_batch(x, y)
    assert_same_bits(model.get_weights()[0], before[0])
    assert model.optimizer is not None
    model.optimizer.learning_rate = 0.1
    model.train_on_batch(x, y)
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_a_loss_of_ones_own() -> None:
    class AbsoluteError(losses.Loss):
        def values_and_gradient(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
            error = y_pred - y_true
            return np.abs(error).mean(axis=-1), np.sign(error) / error.shape[-1]

    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0]])])
    model.compile(keras.optimizers.SGD(0.25), AbsoluteError())
    assert model.train_on_batch([[1.0], [2.0]], [[3.0], [1.0]]) == 1.5
    # The gradient is ((-1) * 1 + (+1) * 2) / 2.
    assert model.get_weights()[0] == 1 - 0.25 * 0.5


def test_reduction_sum() -> None:
    x, y = np.ones((4, 1)), np.zeros((4, 1))
    for reduction, factor in (("sum_over_batch_size", 1), ("sum", 4)):
        model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
        model.set_weights([np.array([[1.0]])])
        model.compile(keras.optimizers.SGD(0.125), losses.MeanSquaredError(reduction=reduction))
        assert model.train_on_batch(x, y) == factor
        assert model.get_weights()[0] == 1 - 0.125 * 2 * factor


def test_a_run_that_diverges_says_so_by_its_loss_alone() -> None:
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e6), "mse")
    x = np.arange(32.0)
    history = model.fit(x, x, epochs=20, verbose=0)
    assert not np.isfinite(history.history["loss"][-1])
    assert not np.isfinite(model.evaluate(x, x, verbose=0))
