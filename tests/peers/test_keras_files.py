"""Files of Keras in fastconv and the other way round: predictions, and training that goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from layer_table import ROWS, Row

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras: pip install keras jax h5py")
pytest.importorskip("h5py", reason='files of Keras need h5py: pip install "fastconv[files]"')

pytestmark = [
    # Of Keras and of its backend, which are not tested here.
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::jax"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`"),
]

TOLERANCE = 1e-5
"""What the project promises for outputs: probabilities, or logits of the order of 1.

Both sides sum at most 1600 products in float32, of values of about 1/40: errors of about 1e-6.
"""


# Each builder takes either package: the code is the same.


def m1(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input(shape=(28, 28, 1)),
            k.layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            k.layers.MaxPooling2D(pool_size=(2, 2)),
            k.layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            k.layers.MaxPooling2D(pool_size=(2, 2)),
            k.layers.Flatten(),
            k.layers.Dropout(0.5),
            k.layers.Dense(10, activation="softmax"),
        ]
    )


def m3(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input((28, 28, 1)),
            k.layers.Conv2D(64, (3, 3), activation=k.activations.relu),
            k.layers.MaxPooling2D(2, 2),
            k.layers.Conv2D(64, (3, 3), activation="relu"),
            k.layers.MaxPooling2D(2, 2),
            k.layers.Flatten(),
            k.layers.Dense(128, activation="relu"),
            k.layers.Dense(10, activation="softmax"),
        ]
    )


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


def m4(k: Any) -> Any:
    inputs = k.Input(shape=(32, 32, 3))
    x = k.layers.Conv2D(32, (3, 3), activation="relu")(inputs)
    x = k.layers.MaxPooling2D((2, 2))(x)
    x = k.layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = k.layers.MaxPooling2D((2, 2))(x)
    x = k.layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = k.layers.Flatten()(x)
    x = k.layers.Dense(32, activation="relu")(x)
    return k.Model(inputs=inputs, outputs=k.layers.Dense(10)(x), name="cifar_model")


def m5(k: Any) -> Any:
    inputs = k.Input(shape=(28, 28, 1))
    x = k.layers.Conv2D(16, (3, 3), activation="relu")(inputs)
    x = k.layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = k.layers.MaxPooling2D()(x)
    x = k.layers.Flatten()(x)
    x = k.layers.Dense(128)(x)
    outputs = k.layers.Dense(10, activation="softmax")(x)
    return k.Model(inputs=inputs, outputs=outputs, name="hello-world-cnn")


def separable(k: Any) -> Any:
    """Normalisation, depthwise, `same` padding with stride 2, and a way around."""
    inputs = k.Input((15, 14, 3))
    x = k.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = k.layers.BatchNormalization()(x)
    x = k.layers.ReLU(max_value=6)(x)
    around = x
    x = k.layers.DepthwiseConv2D(3, padding="same")(x)
    x = k.layers.BatchNormalization(momentum=0.9, epsilon=0.01)(x)
    x = k.layers.Add()([around, x])
    x = k.layers.SeparableConv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = k.layers.GlobalAveragePooling2D()(x)
    return k.Model(inputs, k.layers.Dense(5)(x))


def branches(k: Any) -> Any:
    """Branches of different lengths, layers of one class in them, and a layer called twice.

    Which of the layers comes first in the file depends on the whole graph.
    """
    inputs = k.Input((9, 8, 2))
    shared = k.layers.Conv2D(3, 3, padding="same", activation="tanh", name="shared")
    long = k.layers.Conv2D(3, 1, name="long_1")(inputs)
    short = k.layers.Conv2D(3, 1, name="short")(inputs)
    long = k.layers.Conv2D(2, 3, padding="same", name="long_2")(long)
    long = shared(long)
    direct = shared(inputs)
    joined = k.layers.Concatenate()([direct, short, long])
    x = k.layers.Flatten()(k.layers.Conv2D(2, 3, name="last")(joined))
    return k.Model(inputs, k.layers.Dense(4)(x), name="branches")


SEQUENTIAL = {"M1": m1, "M3": m3, "options": many_options}
MODELS = {**SEQUENTIAL, "M4": m4, "M5": m5, "separable": separable, "branches": branches}


@pytest.fixture(params=list(MODELS))
def build(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]


def inputs(model: Any, count: int = 8) -> Any:
    rng = np.random.default_rng(5)
    return rng.uniform(0, 1, (count, *model.input_shape[1:])).astype(np.float32)


def labels(model: Any, count: int = 8) -> Any:
    return np.random.default_rng(6).integers(0, model.output_shape[-1], count)


def shake(model: Any) -> None:
    """Give every weight a value of its own: biases start at 0, where mistakes do not show."""
    rng = np.random.default_rng(7)
    values = [weight + rng.normal(0, 0.02, weight.shape) for weight in model.get_weights()]
    model.set_weights([value.astype(np.float32) for value in values])


def assert_same_outputs(ours: Any, theirs: Any) -> None:
    x = inputs(ours)
    expected = theirs.predict(x, verbose=0)
    assert np.ptp(expected) > 10 * TOLERANCE, "the model tells nothing apart"
    np.testing.assert_allclose(ours.predict(x, verbose=0), expected, rtol=0, atol=TOLERANCE)


def assert_same_weights(one: Any, other: Any) -> None:
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


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
    theirs, ours = m1(keras), m1(fastconv)
    theirs.save(tmp_path / "m.keras")
    ours.load_weights(tmp_path / "m.keras")
    assert_same_weights(ours, theirs)


# --- compiled models ------------------------------------------------------------------------------

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
            np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
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
