"""Helpers under Keras' names, and what the package offers."""

# The legacy generator of NumPy is one of those that a seed sets.
# ruff: noqa: NPY002

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv.callbacks import History
from fastconv.utils import plot_confusion_matrix, plot_history


def test_set_random_seed_seeds_python_and_numpy_too() -> None:
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        draws.append((random.random(), np.random.rand(), keras.random.next_seed()))
    assert draws[0] == draws[1]
    keras.utils.set_random_seed(4)
    assert (random.random(), np.random.rand(), keras.random.next_seed()) != draws[0]
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match="set_random_seed: seed is out of range"):
            keras.utils.set_random_seed(seed)
    with pytest.raises(TypeError):
        keras.utils.set_random_seed(1.5)  # type: ignore[arg-type]


def test_seeds_of_layers_do_not_touch_the_generators_of_the_user() -> None:
    keras.utils.set_random_seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate()
    keras.layers.Dense(2)(np.zeros((1, 2)))
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def test_to_categorical() -> None:
    assert keras.utils.to_categorical([0, 2]).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert keras.utils.to_categorical([[0], [2]], 4).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert keras.utils.to_categorical([[0, 1], [1, 0]]).shape == (2, 2, 2)
    assert keras.utils.to_categorical([], 3).shape == (0, 3)
    assert keras.utils.to_categorical(1, 2).tolist() == [0, 1]
    for labels in ([-1], [3]):
        with pytest.raises(ValueError, match="to_categorical: x holds a label out of range"):
            keras.utils.to_categorical(labels, 3)


def test_names_of_the_package() -> None:
    for name in keras.__all__:
        assert getattr(keras, name) is not None
    assert set(keras.__all__) <= set(dir(keras))
    assert keras.Input is keras.layers.Input
    assert keras.models.Sequential is keras.Sequential
    assert keras.models.Model is keras.Model
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = keras.nothing


def test_import_leaves_out_what_training_does_not_need() -> None:
    code = (
        "import sys, fastconv\n"
        "late = {'fastconv.datasets', 'fastconv.reference', 'fastconv.cli', 'importlib.metadata'}\n"
        "late |= {'rich', 'typer', 'matplotlib', 'urllib.request', 'gzip', 'tarfile'}\n"
        "print(*sorted(late & set(sys.modules)))\n"
        "fastconv.datasets.mnist.load_data, fastconv.reference.conv2d"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == ""


@pytest.fixture
def pyplot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    module = pytest.importorskip("matplotlib.pyplot", reason="plots need matplotlib")
    yield module
    module.close("all")


CURVES = {"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 3.0], "accuracy": [0.1, 0.2, 0.3]}


def lines(axis: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines
    }


@pytest.mark.usefixtures("pyplot")
def test_plot_of_one_run(tmp_path: Path) -> None:
    history = History()
    history.history = {name: list(values) for name, values in CURVES.items()}
    for given in (history, CURVES):
        figure = plot_history(given, tmp_path / "run.png")
        loss, accuracy = figure.axes
        assert (loss.get_title(), accuracy.get_title()) == ("loss", "accuracy")
        assert lines(loss) == {
            "training": ([1, 2, 3], [3.0, 2.0, 1.0]),
            "validation": ([1, 2], [4.0, 3.0]),
        }
        assert lines(accuracy) == {"training": ([1, 2, 3], [0.1, 0.2, 0.3])}
        assert loss.get_xlabel() == "epoch"
        assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
        (tmp_path / "run.png").unlink()


@pytest.mark.usefixtures("pyplot")
def test_plot_of_validation_in_some_epochs() -> None:
    figure = plot_history({"loss": [5.0, 4, 3, 2, 1], "val_loss": [4.0, 2]})
    assert lines(figure.axes[0])["validation"] == ([2, 4], [4, 2])


@pytest.mark.usefixtures("pyplot")
def test_plot_of_several_runs() -> None:
    history = History()
    history.history = {"loss": [1.0]}
    figure = plot_history({"small": history, "large": CURVES})
    loss, accuracy = figure.axes
    assert list(lines(loss)) == ["small, training", "large, training", "large, validation"]
    assert list(lines(accuracy)) == ["large, training"]
    colors = {line.get_label(): line.get_color() for line in loss.lines}
    assert colors["large, training"] == colors["large, validation"] != colors["small, training"]


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.usefixtures("pyplot")
def test_confusion_matrix(scores: bool, tmp_path: Path) -> None:
    y_true, y_pred = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 0])
    true, predicted = (np.eye(3)[y_true], np.eye(3)[y_pred]) if scores else (y_true, y_pred)
    path = tmp_path / "mistakes.svg"
    figure = plot_confusion_matrix(true, predicted, labels=["a", "b", "c"], path=path)
    axis = figure.axes[0]
    written = {
        (int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axis.texts
    }
    assert written == {(0, 0): "2", (0, 1): "1", (1, 1): "1", (2, 0): "1", (2, 2): "1"}
    shares = np.asarray(axis.images[0].get_array())
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3, 0], [0, 1, 0], [0.5, 0, 0.5]])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true")
    assert "<svg" in path.read_text()


@pytest.mark.usefixtures("pyplot")
def test_confusion_matrix_names_classes_that_do_not_occur() -> None:
    figure = plot_confusion_matrix([0, 1], np.eye(4)[[0, 1]])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == list("0123")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_history({}), "plot_history: history is empty"),
        (lambda: plot_history({"loss": []}), "plot_history: history is empty"),
        (lambda: plot_confusion_matrix([0], [0, 1]), "y_pred must have as many samples as y_true"),
        (lambda: plot_confusion_matrix([0, 2], [0, 1], ["a", "b"]), "labels must name every class"),
        (lambda: plot_confusion_matrix([-1], [0]), "y_true holds no labels"),
        (lambda: plot_confusion_matrix([0.5], [0]), "y_true holds no labels"),
    ],
)
def test_plots_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_plots_need_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for call in (lambda: plot_history(CURVES), lambda: plot_confusion_matrix([0], [0])):
        with pytest.raises(ImportError, match=r'needs matplotlib: pip install "fastconv\[plot\]"'):
            call()
    with pytest.raises(TypeError, match="plot_history: history is no history"):
        plot_history(3)  # type: ignore[arg-type]
