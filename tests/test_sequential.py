"""Sequential models: how they are put together, their weights, shapes and predictions."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from seed_models import m1
from support.arrays import assert_equal, assert_same_bits, reals

pytestmark = pytest.mark.usefixtures("fresh_names")


def cnn() -> list[layers.Layer]:
    return [layers.Conv2D(3, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]


def test_four_ways_to_give_the_input_shape() -> None:
    at_once = keras.Sequential([keras.Input((8, 7, 2)), *cnn()])
    layers_input = keras.Sequential([layers.Input((8, 7, 2)), *cnn()])
    one_by_one = keras.Sequential()
    one_by_one.add(keras.Input(shape=(8, 7, 2)))
    for layer in cnn():
        one_by_one.add(layer)
    on_first = keras.Sequential()
    on_first.add(layers.Conv2D(3, 3, activation="relu", input_shape=(8, 7, 2)))
    for layer in cnn()[1:]:
        on_first.add(layer)
    built = keras.Sequential(cnn())
    assert not built.built
    built.build((None, 8, 7, 2))
    called = keras.Sequential(cnn())
    called(np.zeros((4, 8, 7, 2)))
    for model in (at_once, layers_input, one_by_one, on_first, built, called):
        assert model.built
        assert model.input_shape == (None, 8, 7, 2)
        assert model.output_shape == (None, 18)
        assert [type(layer).__name__ for layer in model.layers] == [
            "Conv2D",
            "MaxPooling2D",
            "Flatten",
        ]
        assert [w.shape for w in model.get_weights()] == [(3, 3, 2, 3), (3,)]
        assert model.inputs[0].shape == (None, 8, 7, 2)
        assert model.outputs[0].shape == (None, 18)


def test_input_layer_may_follow_the_layers() -> None:
    model = keras.Sequential(cnn())
    model.add(keras.Input((8, 7, 2)))
    assert model.output_shape == (None, 18)


def test_fit_builds_the_model() -> None:
    model = keras.Sequential([layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2, 3)), np.ones(4), verbose=0)
    assert model.input_shape == (None, 2, 3)


def test_unbuilt_models_say_so() -> None:
    model = keras.Sequential(cnn())
    assert model.weights == []
    for ask in (lambda: model.input_shape, lambda: model.output_shape, lambda: model.inputs):
        with pytest.raises(ValueError, match="Sequential 'sequential': the model has no weights"):
            ask()
    with pytest.raises(ValueError, match="must be built before its parameters are counted"):
        model.count_params()


def test_pop() -> None:
    model = keras.Sequential([keras.Input((8, 7, 2)), *cnn()])
    assert model.pop().name == "flatten"
    assert model.output_shape == (None, 3, 2, 3)
    assert model(np.zeros((1, 8, 7, 2))).shape == (1, 3, 2, 3)
    model.add(layers.Flatten())
    assert model.output_shape == (None, 18)
    for _ in range(3):
        model.pop()
    with pytest.raises(ValueError, match="is empty"):
        model.pop()


def test_add_after_a_call_changes_the_result() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    assert model(np.zeros((2, 3))).shape == (2, 4)
    model.add(layers.Dense(5))
    assert model(np.zeros((2, 3))).shape == (2, 5)


def test_wrong_layers() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="a")])
    with pytest.raises(TypeError, match="layer must be a layer"):
        model.add("dense")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="layer must be a layer"):
        model.add(keras.Sequential())
    with pytest.raises(ValueError, match="has the name of another layer"):
        model.add(layers.Dense(2, name="a"))
    with pytest.raises(ValueError, match="the input is given already"):
        model.add(keras.Input((3,)))
    with pytest.raises(ValueError, match="Conv2D 'conv2d': the input has the wrong number of ax"):
        model.add(layers.Conv2D(2, 3))
    assert [layer.name for layer in model.layers] == ["a"]
    assert model.output_shape == (None, 4)
    with pytest.raises(TypeError, match="is not a layer of other models"):
        model(keras.Input((3,)))


def test_get_layer() -> None:
    model = m1()
    assert model.get_layer("dense") is model.layers[-1]
    assert model.get_layer(index=0) is model.layers[0]
    with pytest.raises(ValueError, match=r"get_layer: name is not known, expected one of conv2d, "):
        model.get_layer("nothing")
    with pytest.raises(ValueError, match="index is out of range, expected 0 <= index < 7"):
        model.get_layer(index=7)
    with pytest.raises(ValueError, match="take one of both"):
        model.get_layer()


def test_weights_go_from_model_to_model() -> None:
    x = reals(1, 5, 28, 28, 1)
    one, other = m1(), m1()
    assert not np.array_equal(one(x), other(x))
    other.set_weights(one.get_weights())
    assert_same_bits(one(x), other(x))
    names = [v.path for v in one.weights]
    assert names == [
        f"{layer}/{weight}"
        for layer in ("conv2d", "conv2d_1", "dense")
        for weight in ("kernel", "bias")
    ]
    with pytest.raises(ValueError, match="weights has the wrong length, expected 6, received 0"):
        one.set_weights([])


def test_weights_stay_when_they_move_into_the_flat_buffer() -> None:
    model = m1()
    before = model.get_weights()
    model.compile("sgd", "sparse_categorical_crossentropy")
    base = model._trainer().parameters
    for old, new in zip(before, model.get_weights(), strict=True):
        assert_same_bits(new, old)
    for variable in model.weights:
        assert np.shares_memory(variable.value, base.trainable)
        assert np.shares_memory(variable.gradient, base.gradients)
        assert variable.value.ctypes.data % 64 == 0
        assert variable.value.flags.c_contiguous


def test_predict_is_the_same_for_every_batch_size() -> None:
    model = m1()
    x = reals(2, 21, 28, 28, 1)
    whole = model.predict_on_batch(x)
    assert whole.shape == (21, 10)
    assert whole.dtype == np.float32
    for batch_size in (1, 4, 21, 100, None):
        assert_same_bits(model.predict(x, batch_size=batch_size, verbose=0), whole)
    assert_same_bits(model(x), whole)
    # Rounding of ten quotients and their sum.
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=20 * np.finfo(np.float32).eps)


def test_predict_on_no_samples() -> None:
    assert m1().predict(np.zeros((0, 28, 28, 1)), verbose=0).shape == (0, 10)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64, np.float16, ">f4", bool])
def test_inputs_are_cast_to_float32(dtype: Any) -> None:
    model = m1()
    x = np.random.default_rng(3).integers(0, 2, (6, 28, 28, 1)).astype(dtype)
    before = x.copy()
    expected = model.predict(x.astype(np.float32), verbose=0)
    assert_same_bits(model.predict(x, verbose=0), expected)
    assert_same_bits(model.predict(x[::-1], verbose=0), expected[::-1].copy())
    assert np.array_equal(x, before)


def test_missing_channel_axis_is_added() -> None:
    model = m1()
    x = reals(4, 3, 28, 28)
    expected = model.predict(x[..., None], verbose=0)
    assert_same_bits(model.predict(x, verbose=0), expected)
    assert_same_bits(model(x), expected)
    assert_same_bits(model.predict_on_batch(x), expected)


def test_additional_axis_of_size_one_is_dropped() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    x = reals(5, 4, 3)
    assert_same_bits(model(x[..., None]), model(x))


def test_model_without_input_needs_the_channel_axis() -> None:
    model = keras.Sequential([layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match=r"expected 4 \(batch, height, width, channels\)"):
        model(np.zeros((2, 28, 28)))


@pytest.mark.parametrize(
    "shape", [(2, 28, 28, 3), (2, 27, 28, 1), (28, 28), (2, 28, 28, 1, 1, 1), (2, 27, 28)]
)
def test_inputs_that_do_not_fit(shape: tuple[int, ...]) -> None:
    message = r"predict: x does not fit the input of sequential, expected \(None, 28, 28, 1\)"
    with pytest.raises(ValueError, match=message):
        m1().predict(np.zeros(shape), verbose=0)


def test_inputs_that_are_no_numbers() -> None:
    with pytest.raises(TypeError, match="x must hold real numbers"):
        m1().predict(np.full((1, 28, 28, 1), "a"))
    with pytest.raises(ValueError, match="x must have axes"):
        m1().predict(1.0)


def test_sizes_that_vary() -> None:
    model = keras.Sequential(
        [keras.Input((None, None, 1)), layers.Conv2D(2, 3, activation="relu"), layers.ReLU()]
    )
    assert model.output_shape == (None, None, None, 2)
    assert model.predict(np.zeros((2, 5, 6, 1)), verbose=0).shape == (2, 3, 4, 2)
    assert model.predict(np.zeros((2, 9, 6, 1)), verbose=0).shape == (2, 7, 4, 2)
    with pytest.raises(ValueError, match="output size below 1"):
        model.predict(np.zeros((2, 2, 6, 1)), verbose=0)


def test_fixed_batch_size() -> None:
    model = keras.Sequential([keras.Input((3,), batch_size=2), layers.Dense(1)])
    assert model.output_shape == (2, 1)
    assert model(np.zeros((2, 3))).shape == (2, 1)
    with pytest.raises(ValueError, match=r"expected \(2, 3\), received \(4, 3\)"):
        model(np.zeros((4, 3)))


def test_trainable_reaches_every_layer() -> None:
    model = m1()
    model.trainable = False
    assert model.trainable_weights == []
    assert not any(layer.trainable for layer in model.layers)
    assert len(model.non_trainable_weights) == 6
    model.trainable = True
    assert len(model.trainable_weights) == 6


def test_training_argument_of_a_call() -> None:
    model = keras.Sequential([keras.Input((1000,)), layers.Dropout(0.5, seed=1)])
    x = np.ones((1, 1000), np.float32)
    assert_equal(model(x), x)
    assert np.count_nonzero(model(x, training=True)) < 1000


def test_predictions_from_many_threads() -> None:
    model = m1()
    inputs = [reals(index, 3, 28, 28, 1) for index in range(8)]
    expected = [model.predict(x, verbose=0) for x in inputs]
    results: dict[int, Any] = {}

    def work(index: int) -> None:
        for _ in range(5):
            results[index] = model.predict(inputs[index], verbose=0)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, result in enumerate(expected):
        assert_same_bits(results[index], result)
