"""The callbacks that watch a figure, set the learning rate, and write."""

from __future__ import annotations

import csv
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from fastconv.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from support.arrays import assert_same_bits
from support.callbacks import Script, X, Y, model


def run(callback: Callback, rate: Any = 0.5, **figures: list[float]) -> Any:
    """A history of epochs whose figures are given."""
    epochs = len(next(iter(figures.values())))
    made = model(rate)
    return made.fit(X, Y, epochs=epochs, verbose=0, callbacks=[Script(**figures), callback])


# --- early stopping -----------------------------------------------------------------------------

STOPS: dict[str, tuple[dict[str, Any], list[float], int]] = {
    # Arguments, the figure of each epoch, and how many epochs run.
    "at once": ({}, [3, 2, 2, 1], 3),
    "never": ({}, [4, 3, 2, 1], 4),
    "patience": ({"patience": 2}, [3, 2, 2, 1, 1, 1, 0], 6),
    "small changes are none": ({"min_delta": 0.5, "patience": 2}, [3, 2.75, 2.5, 0], 3),
    "and large ones too late": ({"min_delta": 0.5, "patience": 1}, [3, 2.75, 1, 0, 0], 2),
    "max": ({"mode": "max"}, [1, 2, 3, 3, 4], 4),
    "not in the first epoch": ({"baseline": 1.0}, [3, 3, 0], 2),
    "baseline": ({"baseline": 1.0, "patience": 2}, [5, 4, 3, 3, 0], 4),
    "start": ({"start_from_epoch": 3}, [1, 2, 3, 4, 5, 0], 5),
    "not a number": ({"patience": 2}, [3, math.nan, math.nan, 1], 3),
    "first no number": ({"patience": 2}, [math.nan, 2, 1, 0], 4),
}


@pytest.mark.parametrize(("options", "figures", "epochs"), STOPS.values(), ids=STOPS)
def test_early_stopping(options: dict[str, Any], figures: list[float], epochs: int) -> None:
    callback = EarlyStopping("figure", **{"mode": "min", **options})
    history = run(callback, figure=figures)
    assert len(history.epoch) == epochs
    assert callback.stopped_epoch == (0 if epochs == len(figures) else epochs - 1)


@pytest.mark.parametrize("stops", [True, False])
def test_weights_of_the_best_epoch_come_back(
    stops: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    weights: list[Any] = []
    keep = LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(keep.model.get_weights())  # noqa: ARG005
    )
    script = Script(figure=[3, 1, 2, 4])
    stopping = EarlyStopping(
        "figure", mode="min", patience=2 if stops else 9, restore_best_weights=True, verbose=1
    )
    made = model()
    made.fit(X, Y, epochs=4, verbose=0, callbacks=[keep, script, stopping])
    assert stopping.best_epoch == 1
    assert stopping.best == 1
    for one, two in zip(made.get_weights(), weights[1], strict=True):
        assert_same_bits(one, two)
    assert not np.array_equal(made.get_weights()[0], weights[-1][0])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["Epoch 4: early stopping"] * stops + [
        "Restoring the weights of the best epoch: 2"
    ]


def test_best_weights_without_an_epoch_that_counts() -> None:
    stopping = EarlyStopping("figure", mode="min", restore_best_weights=True)
    run(stopping, figure=[math.nan, math.nan])
    assert stopping.best_epoch == 0
    assert stopping.best is None


def test_a_callback_serves_several_runs() -> None:
    stopping = EarlyStopping("figure", mode="min")
    for _ in range(2):
        assert len(run(stopping, figure=[3, 2, 2, 1]).epoch) == 3


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("accuracy", "max"),
        ("val_accuracy", "max"),
    ],
)
def test_what_is_better_is_known_of_metrics(monitor: str, mode: str) -> None:
    stopping = EarlyStopping(monitor)
    model().fit(X, Y, epochs=1, verbose=0, validation_split=0.5, callbacks=stopping)
    assert stopping.direction() == mode


def test_what_is_better_must_be_said_of_others() -> None:
    with pytest.raises(ValueError, match="EarlyStopping: mode cannot be auto for figure, expected"):
        run(EarlyStopping("figure"), figure=[1])
    with pytest.raises(ValueError, match="ReduceLROnPlateau: mode is not known, expected"):
        ReduceLROnPlateau(mode="least")


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau])
def test_a_figure_that_is_not_there(kind: Any) -> None:
    message = rf"{kind.__name__}: val_loss is not available, only loss, accuracy"
    with pytest.warns(UserWarning, match=message):
        model().fit(X, Y, verbose=0, callbacks=[kind()])


# --- the learning rate --------------------------------------------------------------------------


def test_learning_rate_scheduler(capsys: pytest.CaptureFixture[str]) -> None:
    callback = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate, verbose=1)
    history = run(callback, figure=[0, 0, 0])
    assert history.history["learning_rate"] == [0.5, 0.25, 0.125]
    assert callback.model.optimizer.learning_rate == 0.125  # type: ignore[union-attr]
    assert capsys.readouterr().out.splitlines()[1] == "Epoch 2: the learning rate is 0.25"


def test_learning_rate_by_the_epoch_alone() -> None:
    history = run(LearningRateScheduler(lambda epoch: 0.5**epoch), figure=[0, 0, 0])
    assert history.history["learning_rate"] == [1, 0.5, 0.25]


def test_a_scheduler_beside_a_schedule_is_refused() -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 3)
    with pytest.raises(TypeError, match="learning_rate is given by a schedule"):
        run(LearningRateScheduler(lambda epoch: 0.1), rate=schedule, figure=[0])  # noqa: ARG005


def test_a_schedule_shows_in_the_logs() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    history = model(schedule).fit(X, Y, epochs=2, batch_size=5, verbose=0)
    assert history.history["learning_rate"] == [0.5**3, 0.5**5]
    assert "learning_rate" not in model().fit(X, Y, verbose=0).history


PLATEAUS: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    # Arguments, the figure of each epoch, and the rate during each.
    "never": ({}, [3, 2, 1, 0], [1, 1, 1, 1]),
    "patience": ({}, [3, 3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5, 0.25]),
    "small changes": ({"min_delta": 0.5}, [3, 2.75, 2.5, 0, 0, 0], [1, 1, 1, 0.5, 0.5, 0.5]),
    "cooldown": ({"cooldown": 2}, [3] * 8, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    "least": ({"min_lr": 0.4}, [3] * 7, [1, 1, 1, 0.5, 0.5, 0.4, 0.4]),
    "max": ({"mode": "max"}, [1, 2, 2, 2, 2], [1, 1, 1, 1, 0.5]),
}


@pytest.mark.parametrize(("options", "figures", "rates"), PLATEAUS.values(), ids=PLATEAUS)
def test_plateaus(options: dict[str, Any], figures: list[float], rates: list[float]) -> None:
    options = {"mode": "min", "factor": 0.5, "patience": 2, **options}
    history = run(ReduceLROnPlateau("figure", **options), rate=1.0, figure=figures)
    assert history.history["learning_rate"] == rates


def test_plateaus_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    run(ReduceLROnPlateau("loss", patience=1, min_delta=9, verbose=1), figure=[0, 0])
    assert capsys.readouterr().out == "Epoch 2: the learning rate goes down to 0.05\n"
    with pytest.raises(ValueError, match="ReduceLROnPlateau: factor is out of range"):
        ReduceLROnPlateau(factor=1.0)


# --- records and others -------------------------------------------------------------------------


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    made = model()
    options: dict[str, Any] = {"verbose": 0, "validation_split": 0.5, "validation_freq": 2}
    history = made.fit(X, Y, epochs=2, callbacks=CSVLogger(path), **options).history
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [first["epoch"], second["epoch"]] == ["0", "1"]
    assert (first["val_loss"], first["val_accuracy"]) == ("NA", "NA")
    for name, values in history.items():
        assert float(second[name]) == values[-1]

    made.fit(X, Y, callbacks=CSVLogger(path, append=True), verbose=0)
    rows = path.read_text().splitlines()
    assert len(rows) == 4
    assert rows[3].startswith("0,")
    made.fit(X, Y, callbacks=CSVLogger(path, separator=";"), verbose=0)
    rows = path.read_text().splitlines()
    assert rows[0] == "epoch;accuracy;loss;val_accuracy;val_loss"
    assert len(rows) == 2


def test_csv_logger_writes_lists(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    run(CSVLogger(path), figure=[np.array([1.0, 2.0])])  # type: ignore[list-item]
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["figure"] == "[1.0, 2.0]"


@pytest.mark.parametrize("raises", [False, True])
def test_terminate_on_nan(raises: bool, capsys: pytest.CaptureFixture[str]) -> None:
    made = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    made.compile(keras.optimizers.SGD(1e6), "mse")
    x = np.arange(320.0)
    if raises:
        with pytest.raises(RuntimeError, match=r"batch \d: the loss is (inf|nan); training ends"):
            made.fit(x, x, epochs=20, verbose=0, callbacks=TerminateOnNaN(raise_error=True))
        return
    history = made.fit(x, x, epochs=20, verbose=0, callbacks=TerminateOnNaN())
    assert len(history.epoch) < 20
    assert re.fullmatch(
        r"Batch \d: the loss is (inf|nan); training ends\n", capsys.readouterr().out
    )


def test_lambda_callback() -> None:
    calls: list[Any] = []
    callback = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: calls.append(("epoch", epoch, logs)),
        on_train_begin=lambda logs: calls.append(("train", logs)),
        on_train_batch_begin=lambda batch, logs: calls.append(("batch", batch, logs)),
        on_batch_end=lambda batch, logs: calls.append(("end", batch, sorted(logs))),
        on_test_begin=lambda logs: calls.append(("test", logs)),
    )
    model().fit(X, Y, batch_size=5, verbose=0, callbacks=callback)
    figures = ["accuracy", "loss"]
    assert calls == [
        ("train", {}),
        ("epoch", 0, {}),
        ("batch", 0, {}),
        ("end", 0, figures),
        ("batch", 1, {}),
        ("end", 1, figures),
    ]
    with pytest.raises(TypeError, match="LambdaCallback: on_epoch is no hook, expected one of"):
        LambdaCallback(on_epoch=print)


def test_what_predict_gives_its_callbacks() -> None:
    parts: list[Any] = []
    callback = LambdaCallback(
        on_predict_batch_end=lambda batch, logs: parts.append(logs["outputs"])  # noqa: ARG005
    )
    result = model().predict(X, batch_size=4, verbose=0, callbacks=callback)
    assert_same_bits(np.concatenate(parts), result)


# --- with a display -----------------------------------------------------------------------------


def test_messages_do_not_disturb_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Notebook(io.StringIO):
        """What a notebook puts in place of standard output."""

    Notebook.__module__ = "ipykernel.iostream"
    output = Notebook()
    monkeypatch.setattr(sys, "stdout", output)
    callback = LearningRateScheduler(lambda epoch: 0.5, verbose=1)  # noqa: ARG005
    model().fit(X, Y, epochs=2, batch_size=5, callbacks=callback)
    text = output.getvalue()
    # Every message starts where a bar was cleared, and the bars were drawn.
    assert "[============............] 1/2" in text or "[========================] 2/2" in text
    shown = [line.rpartition("\r")[2] for line in text.splitlines()]
    pattern = r"Epoch \d(: the learning rate is 0\.5|/2 - .* - learning_rate: 0\.5000)"
    assert len([line for line in shown if re.fullmatch(pattern, line)]) == 4


def test_an_interrupted_run_leaves_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Bar:
        def draw(self, step: int, text: str) -> None:
            """Show nothing."""

        def close(self) -> None:
            closed.append(True)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fastconv.progress.make_bar", lambda _title, _steps: Bar())
    with pytest.raises(KeyboardInterrupt):
        model().fit(X, Y, callbacks=LambdaCallback(on_batch_end=interrupt))
    assert closed == [True]
