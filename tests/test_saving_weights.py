"""Weights in files of their own: HDF5 as Keras lays it out, and safetensors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from support.files import assert_same_weights, edit_arrays, small_model

h5py = pytest.importorskip("h5py", reason='files need h5py: pip install "fastconv[files]"')
safetensors = pytest.importorskip(
    "safetensors.numpy", reason='files need safetensors: pip install "fastconv[files]"'
)

ENDINGS = ["weights.h5", "safetensors"]


@pytest.fixture(params=ENDINGS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"m.{request.param}"


def train(model: Any, steps: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 1, (8, *model.input_shape[1:])).astype(np.float32)
    y = rng.integers(0, model.output_shape[-1], 8)
    for _ in range(steps):
        model.train_on_batch(x, y)


def test_round_trip(path: Path) -> None:
    one, other = small_model(), small_model()
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])
    x = np.random.default_rng(1).normal(size=(4, 6, 6, 2)).astype(np.float32)
    before = other.predict(x, verbose=0)
    one.save_weights(path)
    other.load_weights(path)
    assert_same_weights(one, other)
    expected = one.predict(x, verbose=0)
    assert not np.array_equal(before, expected)
    np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_names_of_layers_do_not_matter(path: Path) -> None:
    one = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    other = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="b"), layers.Dense(2, name="a")]
    )
    one.save_weights(path)
    other.load_weights(path)
    assert_same_weights(one, other)


def test_layout_of_keras(tmp_path: Path) -> None:
    model = small_model(compiled=True)
    train(model, 2)
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5") as file:
        assert set(file) == {"vars", "layers", "optimizer"}
        assert file["vars"].attrs["name"] == "small"
        assert set(file["layers"]) == {"conv2d", "conv2d_1", "flatten", "dense"}
        assert file["layers/conv2d_1/vars"].attrs["name"] == "second"
        assert list(file["layers/flatten/vars"]) == []
        for place, name in [("conv2d", "first"), ("conv2d_1", "second"), ("dense", "head")]:
            for index, value in enumerate(model.get_layer(name).get_weights()):
                np.testing.assert_array_equal(file[f"layers/{place}/vars/{index}"], value)
        state = file["optimizer/vars"]
        assert int(state["0"][()]) == 2
        assert float(state["1"][()]) == np.float32(0.001)
        # The two moments of one weight follow each other.
        shapes = [weight.shape for weight in model.get_weights() for _ in range(2)]
        assert [state[str(index)].shape for index in range(2, 14)] == shapes


def test_layout_of_safetensors(tmp_path: Path) -> None:
    model = small_model()
    model.save_weights(tmp_path / "m.safetensors")
    found = safetensors.load_file(tmp_path / "m.safetensors")
    assert sorted(found) == [
        "layers/conv2d/bias",
        "layers/conv2d/kernel",
        "layers/conv2d_1/bias",
        "layers/conv2d_1/kernel",
        "layers/dense/bias",
        "layers/dense/kernel",
    ]
    np.testing.assert_array_equal(
        found["layers/conv2d_1/kernel"], model.get_layer("second").kernel.numpy()
    )


def test_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    one, other = small_model(compiled=True), small_model(compiled=True)
    train(one, 3)
    one.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    assert other.optimizer.iterations == 3
    train(one, 2)
    train(other, 2)
    assert_same_weights(one, other)


def test_a_trained_model_keeps_its_buffers(path: Path) -> None:
    """Weights are copied into the flat buffers of training, which go on being used."""
    one, other = small_model(compiled=True), small_model(compiled=True)
    train(other, 2)
    one.save_weights(path)
    other.load_weights(path)
    assert_same_weights(one, other)
    train(other, 1)
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])


def test_the_state_of_another_optimizer_is_left_alone(tmp_path: Path) -> None:
    one, other = small_model(compiled=True), small_model()
    train(one, 2)
    one.save_weights(tmp_path / "m.weights.h5")
    other.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    with pytest.warns(UserWarning, match="the optimizer's state is not used"):
        other.load_weights(tmp_path / "m.weights.h5")
    assert_same_weights(one, other)
    assert other.optimizer.iterations == 0
    assert other.optimizer.learning_rate == 0.1


def test_layers_frozen_after_training(tmp_path: Path) -> None:
    """Freezing has no effect before the next compile: the state is still that of all weights."""
    model, other = small_model(compiled=True), small_model(compiled=True)
    train(model, 2)
    model.get_layer("first").trainable = False
    model.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    train(model, 2)
    train(other, 2)
    assert_same_weights(model, other)


def test_double_precision_in_a_file(tmp_path: Path) -> None:
    model = small_model()
    model.save_weights(tmp_path / "m.weights.h5")
    expected = model.get_weights()

    def widen(file: Any) -> None:
        value = file["layers/conv2d/vars/0"][()]
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = value.astype(">f8")

    edit_arrays(tmp_path / "m.weights.h5", widen)
    other = small_model()
    other.load_weights(tmp_path / "m.weights.h5")
    for found, value in zip(other.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, value)


# --- what differs is named, and nothing is changed ------------------------------------------------


def other_model(*units: int) -> keras.Sequential:
    dense = [layers.Dense(count, name=f"dense_{place}") for place, count in enumerate(units)]
    return keras.Sequential([keras.Input((4,)), *dense], name="other")


@pytest.mark.parametrize(
    ("units", "message_h5", "message_safetensors"),
    [
        (
            (5, 3),
            r"the weight dense_1/kernel has another shape in the file, expected \(5, 3\), "
            r"received \(5, 2\)",
            r"the weight dense_1/(bias|kernel) has another shape in the file",
        ),
        (
            (5, 2, 1),
            r"the layer 'dense_2' has other weights than layers/dense_2 in the file, expected "
            r"\[\('kernel', \(2, 1\)\), \('bias', \(1,\)\)\], received nothing",
            r"the weight dense_2/kernel is not in the file, expected layers/dense_2/kernel",
        ),
        (
            (5,),
            r"the model 'other' has no layer for weights of the file, expected layers/dense, "
            r"received layers/dense_1/vars/0, layers/dense_1/vars/1",
            r"has no place for weights of the file.*layers/dense_1/bias, layers/dense_1/kernel",
        ),
    ],
    ids=["shape", "missing", "too many"],
)
def test_what_differs_is_named(
    units: tuple[int, ...], message_h5: str, message_safetensors: str, path: Path
) -> None:
    other_model(5, 2).save_weights(path)
    model = other_model(*units)
    before = model.get_weights()
    message = message_h5 if path.suffix == ".h5" else message_safetensors
    with pytest.raises(ValueError, match=message):
        model.load_weights(path)
    for value, start in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, start)


def test_a_bias_too_many(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save_weights(path)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, use_bias=False, name="d")])
    with pytest.raises(ValueError, match=r"the layer 'd' has other weights than layers/dense in"):
        model.load_weights(path)


def test_models_that_are_not_built(path: Path) -> None:
    model = keras.Sequential([layers.Dense(2)], name="empty")
    with pytest.raises(ValueError, match="save_weights: the model 'empty' has no weights yet"):
        model.save_weights(path)
    with pytest.raises(ValueError, match="load_weights: the model 'empty' has no weights yet"):
        model.load_weights(path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.npz", "m"])
def test_other_endings(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \.weights\.h5 or \.safetensors"):
        small_model().save_weights(tmp_path / name)


@pytest.mark.parametrize("missing", ["h5py", "safetensors"])
def test_without_the_extras(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("m.weights.h5" if missing == "h5py" else "m.safetensors")
    model = small_model()
    model.save_weights(path)
    before = path.read_bytes()
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.numpy", None)
    for use in (model.load_weights, model.save_weights):
        with pytest.raises(ImportError, match=r'pip install "fastconv\[files\]"'):
            use(path)
    assert path.read_bytes() == before
