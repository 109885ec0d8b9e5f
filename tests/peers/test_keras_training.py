"""Schedules, optimizers and whole runs beside Keras 3, on the same numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastconv
from support.beside_keras import IGNORED_WARNINGS, keras

pytestmark = IGNORED_WARNINGS

Array = np.ndarray[Any, np.dtype[Any]]
GENERATOR = np.random.default_rng(1)


# --- schedules and optimizers -------------------------------------------------------------------

SCHEDULES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "exponential": ("ExponentialDecay", (0.3, 7, 0.5), {}),
    "staircase": ("ExponentialDecay", (0.3, 7, 0.5), {"staircase": True}),
    "piecewise": ("PiecewiseConstantDecay", ([3, 9, 20], [0.3, 0.2, 0.1, 0.05]), {}),
    "cosine": ("CosineDecay", (0.3, 20), {"alpha": 0.1}),
    "warm-up": ("CosineDecay", (0.1, 20), {"warmup_target": 0.3, "warmup_steps": 6}),
}


@pytest.mark.parametrize(("name", "arguments", "options"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    ours, theirs = (
        getattr(package.optimizers.schedules, name)(*arguments, **options)
        for package in (fastconv, keras)
    )
    for step in (0, 1, 3, 4, 5, 6, 7, 9, 10, 14, 19, 20, 21, 26, 39):
        # Keras rounds the rate and some numbers on the way to it to float32.
        expected = float(theirs(step))
        assert ours(step) == pytest.approx(expected, rel=8 * 2.0**-24, abs=8 * 2.0**-24)


def cosine(package: Any) -> Any:
    return package.optimizers.schedules.CosineDecay(0.05, 12, warmup_target=0.1, warmup_steps=4)


OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {}),
    "SGD momentum": ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    "SGD nesterov": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "SGD decay": ("SGD", {"learning_rate": 0.1, "weight_decay": 0.3}),
    "SGD clipnorm": ("SGD", {"learning_rate": 0.1, "clipnorm": 1.5}),
    "SGD clipvalue": ("SGD", {"learning_rate": 0.1, "clipvalue": 0.5}),
    "SGD global": ("SGD", {"learning_rate": 0.1, "global_clipnorm": 1.5}),
    "SGD schedule": ("SGD", {"learning_rate": cosine, "weight_decay": 0.3}),
    "Adam": ("Adam", {}),
    "Adam set": ("Adam", {"learning_rate": 0.05, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}),
    "Adam amsgrad": ("Adam", {"learning_rate": 0.01, "amsgrad": True}),
    "Adam decay": ("Adam", {"learning_rate": 0.01, "weight_decay": 0.5}),
    "Adam clipnorm": ("Adam", {"learning_rate": 0.01, "clipnorm": 0.5}),
    "Adam schedule": ("Adam", {"learning_rate": cosine}),
    "AdamW": ("AdamW", {}),
    "AdamW set": ("AdamW", {"learning_rate": 0.05, "weight_decay": 0.5, "global_clipnorm": 1.0}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop set": ("RMSprop", {"learning_rate": 0.05, "rho": 0.7, "momentum": 0.5}),
    "RMSprop centered": ("RMSprop", {"learning_rate": 0.01, "epsilon": 0.1, "centered": True}),
    "RMSprop decay": ("RMSprop", {"learning_rate": 0.01, "weight_decay": 0.5, "clipvalue": 1.0}),
}


def optimizer_of(package: Any, name: str, options: dict[str, Any]) -> Any:
    made = {key: value(package) if callable(value) else value for key, value in options.items()}
    return getattr(package.optimizers, name)(**made)


STEPS = 20


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers(name: str, options: dict[str, Any]) -> None:
    """Twenty steps of three weights; ours lie in one array with gaps of 0 between them."""
    sizes = (6, 1, 9)
    generator = np.random.default_rng(2)
    starts = [generator.normal(size=size).astype(np.float32) for size in sizes]
    places = [slice(0, 6), slice(16, 17), slice(32, 41)]
    flat, gradient = np.zeros(48, np.float32), np.zeros(48, np.float32)
    for place, start in zip(places, starts, strict=True):
        flat[place] = start
    ours, theirs = (optimizer_of(package, name, options) for package in (fastconv, keras))
    ours.build(48, places)
    variables = [keras.Variable(start) for start in starts]
    for _ in range(STEPS):
        parts = [generator.normal(size=size).astype(np.float32) for size in sizes]
        for place, part in zip(places, parts, strict=True):
            gradient[place] = part
        theirs.apply([keras.ops.convert_to_tensor(part) for part in parts], variables)
        ours.update(flat, gradient)
    for place, start, variable in zip(places, starts, variables, strict=True):
        expected = np.asarray(variable)
        assert np.abs(expected - start).max() > 1e-3
        # Each step rounds a few numbers of about 1; so do the running means under a root.
        np.testing.assert_allclose(flat[place], expected, rtol=0, atol=STEPS * 16 * 2.0**-24)
    assert ours.learning_rate == pytest.approx(float(theirs.learning_rate), rel=1e-6)
    assert not flat[6:16].any()


def test_steps_of_adam_have_keras_length() -> None:
    """Keras rounds the powers of the betas, and the steps then differ from exact ones by 6e-6."""
    ours, theirs = (package.optimizers.Adam(1.0, epsilon=1e-12) for package in (fastconv, keras))
    mine, variable = np.zeros(1, np.float32), keras.Variable(np.zeros(1, np.float32))
    gradient = np.ones(1, np.float32)
    for _ in range(STEPS):
        mine[:] = 0  # where steps lose no digits to the sum
        variable.assign(np.zeros(1, np.float32))
        ours.update(mine, gradient)
        theirs.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        # m, v, the root, alpha, the product and the quotient are rounded on both sides, m and v
        # once more in each step, which their means shrink again.
        np.testing.assert_allclose(mine, np.asarray(variable), rtol=16 * 2.0**-24)


# --- whole runs ---------------------------------------------------------------------------------

X = GENERATOR.normal(size=(50, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
SAMPLE_WEIGHTS = GENERATOR.integers(1, 4, 50).astype(np.float32)
RUN_TOLERANCE = 2e-5
"""Of figures of about 1 after some 40 steps, each of which rounds sums of up to 50 terms."""


def network(package: Any, activation: str | None = "softmax") -> Any:
    made = package.Sequential(
        [
            package.Input((5,)),
            package.layers.Dense(8, activation="tanh"),
            package.layers.Dense(3, activation=activation),
        ]
    )
    generator = np.random.default_rng(3)
    made.set_weights([generator.normal(0, 0.5, w.shape) for w in made.get_weights()])
    return made


def run(
    package: Any,
    data: Callable[[], tuple[Any, ...]],
    fit: Callable[[Any], dict[str, Any]],
    **options: Any,
) -> tuple[dict[str, list[float]], list[Array]]:
    """The history of a run in the order of the data, and the weights."""
    made = network(package, options.pop("activation", "softmax"))
    arguments = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}
    arguments |= {
        key: value(package) if callable(value) else value for key, value in options.items()
    }
    made.compile(**arguments)
    settings = {"batch_size": 16, "epochs": 10, "shuffle": False, "verbose": 0} | fit(package)
    if not isinstance(data()[0], np.ndarray):
        del settings["batch_size"]
    history = made.fit(*data(), **settings).history
    return history, made.get_weights()


def pages() -> tuple[Any, ...]:
    def endless() -> Iterator[tuple[Array, Array]]:
        while True:
            for start in range(0, 50, 20):
                yield X[start : start + 20], Y[start : start + 20]

    return (endless(),)


def nothing(_: Any) -> dict[str, Any]:
    return {}


def one_hot_data() -> tuple[Array, Array]:
    return X, np.eye(3, dtype=np.float32)[Y]


def arrays() -> tuple[Array, Array]:
    return X, Y


RUNS: dict[str, dict[str, Any]] = {
    "plain": {"metrics": ["accuracy"]},
    "sample weights": {
        "fit": lambda _: {"sample_weight": SAMPLE_WEIGHTS},
        "metrics": ["accuracy"],
        "weighted_metrics": ["sparse_categorical_accuracy"],
    },
    "class weights": {"fit": lambda _: {"class_weight": {0: 3.0, 2: 0.5}}},
    "validation split": {
        "fit": lambda _: {"validation_split": 0.3, "sample_weight": SAMPLE_WEIGHTS},
        "metrics": ["accuracy"],
    },
    "validation data": {
        "fit": lambda _: {
            "validation_data": (X[:20], Y[:20], SAMPLE_WEIGHTS[:20]),
            "validation_freq": 3,
        }
    },
    "generator": {"data": pages, "fit": lambda _: {"steps_per_epoch": 3}},
    "precision and recall": {
        "data": one_hot_data,
        "loss": "categorical_crossentropy",
        "metrics": lambda k: [
            "accuracy",
            k.metrics.Precision(name="precision"),
            k.metrics.Recall(name="recall"),
            k.metrics.AUC(name="auc"),
        ],
    },
    "smooth": {
        "data": one_hot_data,
        "loss": lambda k: k.losses.CategoricalCrossentropy(label_smoothing=0.1),
    },
    "logits": {
        "activation": None,
        "loss": lambda k: k.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": lambda k: [k.metrics.SparseTopKCategoricalAccuracy(k=2)],
    },
    "bits": {
        "data": one_hot_data,
        "activation": "sigmoid",
        "loss": "binary_crossentropy",
        "metrics": ["binary_accuracy", "mse"],
    },
    "schedule, decay and clipping": {
        "optimizer": lambda k: k.optimizers.AdamW(cosine(k), weight_decay=0.1, clipnorm=0.2)
    },
    "scheduler": {
        "fit": lambda k: {
            "callbacks": [k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)]  # noqa: ARG005
        }
    },
    "plateau": {
        "fit": lambda k: {
            "validation_split": 0.3,
            "callbacks": [
                k.callbacks.ReduceLROnPlateau(patience=2, factor=0.5, min_delta=0.05, cooldown=1)
            ],
        },
        "optimizer": lambda k: k.optimizers.SGD(0.2),
    },
    "early stopping": {
        "fit": lambda k: {
            "validation_split": 0.3,
            "epochs": 60,
            "callbacks": [
                k.callbacks.EarlyStopping(
                    "val_accuracy", patience=5, restore_best_weights=True, min_delta=0.01
                )
            ],
        },
        "metrics": ["accuracy"],
        "optimizer": lambda k: k.optimizers.SGD(0.1, momentum=0.5),
    },
}


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_runs(options: dict[str, Any]) -> None:
    given = {"data": arrays, "fit": nothing} | options
    (ours, our_weights), (theirs, their_weights) = (run(k, **given) for k in (fastconv, keras))
    # A schedule in the optimizer shows in the history here.
    shown = set(ours) - set(theirs)
    assert shown <= {"learning_rate"}
    assert set(theirs) <= set(ours)
    for name, values in theirs.items():
        assert len(ours[name]) == len(values), name
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=RUN_TOLERANCE, err_msg=name)
    losses = ours["loss"]
    assert losses[-1] < losses[0]
    for one, two in zip(our_weights, their_weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=10 * RUN_TOLERANCE)


def two_outputs(package: Any) -> Any:
    left, right = package.Input((3,), name="left"), package.Input((2,), name="right")
    joined = package.layers.Concatenate()([left, right])
    hidden = package.layers.Dense(6, activation="tanh")(joined)
    kind = package.layers.Dense(3, activation="softmax", name="kind")(hidden)
    size = package.layers.Dense(1, name="size")(hidden)
    made = package.Model([left, right], [kind, size])
    generator = np.random.default_rng(3)
    made.set_weights([generator.normal(0, 0.5, w.shape) for w in made.get_weights()])
    made.compile(
        package.optimizers.SGD(0.1),
        loss=["sparse_categorical_crossentropy", "mse"],
        loss_weights=[1.0, 0.25],
        metrics=[["accuracy"], ["mae"]],
    )
    return made


def test_two_outputs() -> None:
    x, y = [X[:, :3], X[:, 3:]], [Y, X[:, 4] * 2]
    models = [two_outputs(package) for package in (fastconv, keras)]
    ours, theirs = (
        model.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0).history
        for model in models
    )
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=RUN_TOLERANCE, err_msg=name)
    one, two = (model.evaluate(x, y, verbose=0) for model in models)
    np.testing.assert_allclose(one, two, rtol=0, atol=RUN_TOLERANCE)


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "losses.BinaryCrossentropy",
        "losses.CategoricalCrossentropy",
        "losses.Huber",
        "losses.MeanAbsoluteError",
        "losses.MeanSquaredError",
        "losses.SparseCategoricalCrossentropy",
        "metrics.AUC",
        "metrics.Accuracy",
        "metrics.BinaryAccuracy",
        "metrics.CategoricalAccuracy",
        "metrics.MeanAbsoluteError",
        "metrics.MeanSquaredError",
        "metrics.Precision",
        "metrics.Recall",
        "metrics.SparseCategoricalAccuracy",
        "metrics.SparseTopKCategoricalAccuracy",
        "metrics.TopKCategoricalAccuracy",
        "optimizers.Adam",
        "optimizers.AdamW",
        "optimizers.RMSprop",
        "optimizers.SGD",
        "optimizers.schedules.CosineDecay",
        "optimizers.schedules.ExponentialDecay",
        "optimizers.schedules.PiecewiseConstantDecay",
        "callbacks.CSVLogger",
        "callbacks.EarlyStopping",
        "callbacks.LambdaCallback",
        "callbacks.LearningRateScheduler",
        "callbacks.ModelCheckpoint",
        "callbacks.ReduceLROnPlateau",
        "callbacks.TerminateOnNaN",
        "Sequential.fit",
        "Sequential.evaluate",
        "Sequential.predict",
        "Sequential.compile",
        "Sequential.train_on_batch",
        "Sequential.test_on_batch",
    ],
)
def test_arguments_have_keras_names_and_defaults(name: str) -> None:
    ours, theirs = fastconv, keras
    for part in name.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    known = inspect.signature(theirs).parameters
    own = inspect.signature(ours).parameters
    for argument, parameter in own.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        assert argument in known, argument
        # What must be given is None in Keras, too, but refused only later.
        if parameter.default is not parameter.empty:
            assert parameter.default == known[argument].default, argument
    # Arguments that may be given by place are in the same places.
    placed = [key for key, p in own.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert placed == [key for key in known if key in own][: len(placed)]
