"""ModelCheckpoint: when it saves, what, and under which name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fastconv as keras
from fastconv import layers
from fastconv.callbacks import ModelCheckpoint
from support.arrays import assert_same_bits
from support.callbacks import Script, X, Y, model


class Saves(keras.Sequential):
    """A model that records what it is told to write."""

    def __init__(self) -> None:
        super().__init__([keras.Input((2,)), layers.Dense(2, activation="softmax")])
        self.compile("sgd", "sparse_categorical_crossentropy")
        self.saved: list[str] = []

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        assert overwrite
        self.saved.append(f"model {Path(filepath).name}")

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        assert overwrite
        self.saved.append(f"weights {Path(filepath).name}")


CHECKPOINTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "each epoch": ("m.keras", {}, ["model m.keras"] * 4),
    "weights": ("m.weights.h5", {"save_weights_only": True}, ["weights m.weights.h5"] * 4),
    "names": (
        "{epoch:02d}-{figure:.1f}.keras",
        {},
        ["model 01-3.0.keras", "model 02-1.0.keras", "model 03-2.0.keras", "model 04-0.5.keras"],
    ),
    "best": (
        "{epoch}.keras",
        {"save_best_only": True},
        ["model 1.keras", "model 2.keras", "model 4.keras"],
    ),
    "largest": ("{epoch}.keras", {"save_best_only": True, "mode": "max"}, ["model 1.keras"]),
    "threshold": (
        "{epoch}.keras",
        {"save_best_only": True, "initial_value_threshold": 1.0},
        ["model 4.keras"],
    ),
    "batches": (
        "{epoch}-{batch}.keras",
        {"save_freq": 3},
        ["model 2-1.keras", "model 3-2.keras"],
    ),
}


@pytest.mark.parametrize(("name", "options", "saved"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_checkpoints(name: str, options: dict[str, Any], saved: list[str], tmp_path: Path) -> None:
    made = Saves()
    callback = ModelCheckpoint(tmp_path / "sub" / name, "figure", **{"mode": "min", **options})
    script = Script(figure=[3, 1, 2, 0.5])
    made.fit(X, Y, batch_size=5, epochs=4, verbose=0, callbacks=[script, callback])
    assert made.saved == saved
    assert (tmp_path / "sub").is_dir()


def test_checkpoints_say_what_they_save(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.keras"
    callback = ModelCheckpoint(path, "figure", 1, save_best_only=True, mode="min")
    Saves().fit(X, Y, epochs=2, verbose=0, callbacks=[Script(figure=[2, 3]), callback])
    assert capsys.readouterr().out.splitlines() == [
        f"Epoch 1: figure is now 2.00000: saved {path}",
        "Epoch 2: figure is not better than 2.00000",
    ]


def test_checkpoints_load_again(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="Keras' files need h5py")
    made = model()
    paths = tmp_path / "a.keras", tmp_path / "a.weights.h5"
    callbacks = [ModelCheckpoint(paths[0]), ModelCheckpoint(paths[1], save_weights_only=True)]
    made.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    again = keras.models.load_model(paths[0])
    other = model()
    other.load_weights(paths[1])
    for loaded in (again, other):
        assert_same_bits(loaded.predict(X, verbose=0), made.predict(X, verbose=0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelCheckpoint("m.h5"), r"filepath has the wrong ending, .* ends in .keras"),
        (
            lambda: ModelCheckpoint("m.keras", save_weights_only=True),
            r"filepath has the wrong ending, .* ends in .weights.h5",
        ),
        (lambda: ModelCheckpoint("m.keras", save_freq="batch"), "save_freq is not known"),
        (lambda: ModelCheckpoint("m.keras", save_freq=0), "save_freq is not known"),
        (
            lambda: Saves().fit(X, Y, verbose=0, callbacks=ModelCheckpoint("{val_loss}.keras")),
            "filepath names a figure that is not there, expected epoch, loss, received",
        ),
    ],
)
def test_checkpoints_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"ModelCheckpoint: {message}"):
        make()


def test_without_the_figure_every_model_is_saved() -> None:
    made = Saves()
    with pytest.warns(UserWarning, match="ModelCheckpoint: val_loss is not available, only loss"):
        made.fit(X, Y, verbose=0, callbacks=ModelCheckpoint("m.keras", save_best_only=True))
    assert made.saved == ["model m.keras"]
