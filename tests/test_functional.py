"""Models of graphs: how they are put together, their order, branches, shared layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from fastconv.models.graph import Graph
from fastconv.models.plan import Plan
from support.arrays import assert_equal, assert_same_bits, integers, reals
from support.gradients import check, in_float64

pytestmark = pytest.mark.usefixtures("fresh_names")


def residual() -> keras.Model:
    """Two branches that meet, and one of them again with what came before."""
    x = keras.Input((6, 5, 2), name="image")
    a = layers.Conv2D(3, 3, padding="same", activation="relu", name="a")(x)
    b = layers.Conv2D(3, 1, name="b")(x)
    c = layers.Add(name="c")([a, b])
    d = layers.Concatenate(name="d")([c, a])
    return keras.Model(x, layers.Dense(4, name="e")(layers.Flatten(name="flat")(d)))


def test_a_chain_is_the_sequential_model() -> None:
    inputs = keras.Input(shape=(8, 7, 2))
    x = layers.Conv2D(3, 3, activation="relu")(inputs)
    x = layers.MaxPooling2D()(x)
    outputs = layers.Dense(4, activation="softmax")(layers.Flatten()(x))
    model = keras.Model(inputs=inputs, outputs=outputs, name="a_chain")
    other = keras.Sequential([keras.Input((8, 7, 2)), *model.layers[1:]])
    x = reals(1, 5, 8, 7, 2)
    assert_same_bits(model(x), other(x))
    assert_same_bits(model.predict(x, batch_size=2, verbose=0), other(x))
    assert model.name == "a_chain"
    assert model.built
    assert model.input_shape == (None, 8, 7, 2)
    assert model.output_shape == (None, 4)
    assert model.inputs == [inputs]
    assert model.outputs == [outputs]
    assert [layer.name for layer in model.layers] == [
        "input_layer",
        "conv2d",
        "max_pooling2d",
        "flatten",
        "dense",
    ]
    assert [w.path for w in model.weights] == [w.path for w in other.weights]


def test_names_are_those_of_keras() -> None:
    x = keras.Input((2,))
    assert keras.Model(x, x).name == "functional"
    assert keras.Model(x, x).name == "functional_1"
    assert keras.models.Model is keras.Model


def test_results_of_branches() -> None:
    model = residual()
    model.set_weights([integers(index, *w.shape) for index, w in enumerate(model.get_weights())])
    x = integers(9, 3, 6, 5, 2).astype(np.float32)
    parts = {layer.name: layer for layer in model.layers}
    a, b = parts["a"](x), parts["b"](x)
    expected = parts["e"](np.concatenate([a + b, a], axis=-1).reshape(3, -1))
    # Sums of at most 180 products of integers below 2**13: exact.
    assert_equal(model(x), expected)
    assert_equal(model(x, training=True), expected)


def test_gradients_of_branches() -> None:
    model = residual()
    check_gradients(model, reals(1, 4, 6, 5, 2))


def check_gradients(model: keras.Model, x: Any) -> None:
    """Compare the gradients of all weights of a model with one output with differences."""
    plan = Plan(model.graph)
    in_float64(model.trainable_weights)
    result, tape = plan.record(x)
    grad = np.random.default_rng(5).normal(size=result.shape)
    plan.backward(grad.copy(), tape)
    for index, variable in enumerate(model.trainable_weights):
        assert variable.gradient is not None
        gradient = variable.gradient

        def value() -> float:
            return float(np.sum(grad * plan.record(x)[0]))

        check(value, variable.value, gradient, seed=7 + index)


def test_training_of_branches() -> None:
    model = residual()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = reals(1, 32, 6, 5, 2), reals(2, 32, 4)
    history = model.fit(x, y, epochs=30, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < history[0] / 4


def test_shared_layers_have_one_set_of_weights() -> None:
    left, right = keras.Input((5,)), keras.Input((5,))
    shared = layers.Dense(3, activation="tanh")
    both = layers.Concatenate()([shared(left), shared(right)])
    model = keras.Model([left, right], layers.Dense(2)(both))
    assert [w.path for w in model.weights] == [
        "dense/kernel",
        "dense/bias",
        "dense_1/kernel",
        "dense_1/bias",
    ]
    assert model.count_params() == 5 * 3 + 3 + 6 * 2 + 2
    check_gradients(model, [reals(1, 4, 5), reals(2, 4, 5)])


def test_a_layer_applied_to_its_own_result() -> None:
    x = keras.Input((4,))
    again = layers.Dense(4, activation="tanh", kernel_regularizer="l2")
    model = keras.Model(x, again(again(again(x))))
    data = reals(1, 3, 4)
    assert_same_bits(model(data), again(again(again(data))))
    assert len(model.weights) == 2
    assert len(model.losses) == 1
    check_gradients(model, data)


def test_one_tensor_twice() -> None:
    x = keras.Input((4,))
    y = layers.Dense(4)(x)
    model = keras.Model(x, layers.Add()([y, y]))
    data = reals(1, 3, 4)
    assert_same_bits(model(data), 2 * model.layers[1](data))
    check_gradients(model, data)


def test_several_inputs() -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((2, 2, 1), name="b")
    model = keras.Model([a, b], layers.Concatenate()([a, layers.Flatten()(b)]))
    assert model.input_shape == [(None, 3), (None, 2, 2, 1)]
    assert model.output_shape == (None, 7)
    x, y = reals(1, 5, 3), reals(2, 5, 2, 2, 1)
    expected = np.concatenate([x, y.reshape(5, 4)], axis=1).astype(np.float32)
    for given in ([x, y], (x, y), {"b": y, "a": x}, [x, y[..., 0]]):
        assert_equal(model(given), expected)
        assert_equal(model.predict(given, batch_size=2, verbose=0), expected)
        assert_equal(model.predict_on_batch(given), expected)


def test_several_outputs() -> None:
    x = keras.Input((3,))
    hidden = layers.Dense(4, name="hidden")(x)
    softmax = layers.Dense(2, "softmax", name="classes")(hidden)
    model = keras.Model(x, [softmax, hidden, x])
    data = reals(1, 5, 3).astype(np.float32)
    assert model.output_shape == [(None, 2), (None, 4), (None, 3)]
    expected_hidden = model.get_layer("hidden")(data)
    expected = [model.get_layer("classes")(expected_hidden), expected_hidden, data]
    for results in (model(data), model.predict(data, batch_size=2, verbose=0)):
        assert isinstance(results, list)
        for actual, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-6)
            assert actual.dtype == np.float32


def test_inner_results_as_a_model_of_their_own() -> None:
    """Two models share layers; training one trains the other."""
    x = keras.Input((3,))
    hidden = layers.Dense(4, "relu")(x)
    whole = keras.Model(x, layers.Dense(1)(hidden))
    features = keras.Model(x, hidden)
    data = reals(1, 8, 3)
    before = features.predict(data, verbose=0)
    whole.compile("sgd", "mse")
    whole.fit(data, reals(2, 8, 1), epochs=2, verbose=0)
    after = features.predict(data, verbose=0)
    assert not np.array_equal(before, after)
    assert_same_bits(after, whole.layers[1](data))


def test_layers_are_in_the_order_of_keras() -> None:
    """By the longest way to the output; at equal depth as the walk back from the output meets them.

    The order was taken from Keras 3.15.
    """
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    late = layers.Dense(4, name="late")(b)
    early = layers.Dense(4, name="early")(a)
    deeper = layers.Dense(4, name="deeper")(early)
    together = layers.Add(name="together")([late, deeper])
    side = layers.Dense(2, name="side")(early)
    model = keras.Model([b, a], [side, together])
    names = [layer.name for layer in model.layers]
    assert names == ["a", "early", "b", "late", "deeper", "side", "together"]


def test_deep_models() -> None:
    x = tensor = keras.Input((2,))
    for _ in range(3000):
        tensor = layers.Add()([tensor, x])
    model = keras.Model(x, tensor)
    assert_equal(model(np.ones((1, 2))), np.float32([[3001, 3001]]))


def test_unused_inputs_stay() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], layers.Dense(1)(a))
    assert "b" in [layer.name for layer in model.layers]
    assert model([np.ones((4, 2)), np.ones((4, 3))]).shape == (4, 1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x, y: keras.Model(), TypeError, "Model: inputs must be symbolic tensors"),  # noqa: ARG005
        (lambda x, y: keras.Model(x, None), TypeError, "Model: outputs must be symbolic"),  # noqa: ARG005
        (lambda x, y: keras.Model(x, []), ValueError, "Model: outputs are empty"),  # noqa: ARG005
        (lambda x, y: keras.Model(np.ones(3), y), TypeError, "inputs must be symbolic"),  # noqa: ARG005
        (
            lambda x, y: keras.Model(y, layers.Dense(1)(y)),  # noqa: ARG005
            ValueError,
            "Model: inputs are not valid, expected results of Input, each once",
        ),
        (lambda x, y: keras.Model([x, x], y), ValueError, "each once"),
        (
            lambda x, y: keras.Model(x, layers.Add()([y, keras.Input((4,), name="other")])),
            ValueError,
            "Model: outputs need another input, expected only image, received other",
        ),
        (
            lambda x, y: keras.Model(x, layers.Dense(1, name="hidden")(y)),
            ValueError,
            "Model: 2 layers have one name, expected a name for each layer, received 'hidden'",
        ),
    ],
)
def test_graphs_that_are_no_models(make: Any, error: type[Exception], message: str) -> None:
    x = keras.Input((3,), name="image")
    y = layers.Dense(4, name="hidden")(x)
    with pytest.raises(error, match=message):
        make(x, y)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((2, 3)), r"predict: x must have several parts, expected a list for a, b, or a d"),
        ([np.ones((2, 3))], r"received list of 1"),
        ({"a": np.ones((2, 3))}, r"predict: x must have a part for each name, expected a, b, rec"),
        ([np.ones((2, 3)), np.ones((2, 3))], r"does not fit the input of functional, b, expected"),
        ([np.ones((2, 3)), np.ones((3, 2))], r"x must have as many samples each"),
    ],
)
def test_inputs_that_do_not_fit(given: Any, message: str) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    model = keras.Model([a, b], layers.Concatenate()([a, b]))
    with pytest.raises(ValueError, match=message):
        model.predict(given, verbose=0)


def test_models_are_no_layers() -> None:
    model = residual()
    with pytest.raises(TypeError, match="is not a layer of other models"):
        model(keras.Input((6, 5, 2)))


def test_sizes_that_vary() -> None:
    x = keras.Input((None, None, 1))
    a = layers.Conv2D(2, 3)(x)
    model = keras.Model(x, layers.GlobalAveragePooling2D()(layers.Add()([a, a])))
    assert model.output_shape == (None, 2)
    assert model.predict(np.ones((2, 5, 9, 1)), verbose=0).shape == (2, 2)
    assert model.compute_output_shape((4, 5, 9, 1)) == (4, 2)
    with pytest.raises(ValueError, match="output size below 1"):
        model.predict(np.ones((2, 2, 9, 1)), verbose=0)


def test_chains_are_told_from_graphs() -> None:
    x = keras.Input((4,))
    dense = layers.Dense(4)
    y = dense(x)
    assert Graph(x, layers.ReLU()(y)).is_chain
    assert not Graph(x, [layers.ReLU()(y), y]).is_chain
    assert not Graph(x, dense(y)).is_chain
    assert not Graph(x, layers.Add()([x, y])).is_chain
    assert Graph(x, x).is_chain
