"""Callbacks: which hooks are called, when, and with what; the display of progress."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, progress
from fastconv.callbacks import Callback, CallbackList, History
from fastconv.console import TextBar
from fastconv.progress import ProgressDisplay

X = np.random.default_rng(1).normal(size=(10, 2))
Y = np.arange(10) % 2
HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


def model() -> keras.Sequential:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def recorder() -> tuple[Callback, list[tuple[Any, ...]]]:
    """A callback that overrides every hook, and what it was called with."""
    calls: list[tuple[Any, ...]] = []

    def hook(name: str) -> Any:
        def record(self: Callback, *arguments: Any) -> None:  # noqa: ARG001
            calls.append((name, *arguments))

        return record

    kind = type("Recorder", (Callback,), {name: hook(name) for name in HOOKS})
    return kind(), calls


BATCH = ["on_batch_begin", "on_train_batch_begin", "on_batch_end", "on_train_batch_end"]


def test_hooks_of_fit() -> None:
    callback, calls = recorder()
    made = model()
    history = made.fit(
        X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[callback], validation_split=0.2
    )
    epoch = [
        "on_epoch_begin",
        *2 * BATCH,
        "on_test_begin",
        "on_test_batch_begin",
        "on_test_batch_end",
        "on_test_end",
        "on_epoch_end",
    ]
    names = [call[0] for call in calls]
    assert names == ["on_train_begin", *epoch, *epoch, "on_train_end"]
    assert [call[1] for call in calls if call[0] == "on_epoch_begin"] == [0, 1]
    assert [call[1] for call in calls if call[0] == "on_train_batch_end"] == [0, 1, 0, 1]
    ends = [call[2] for call in calls if call[0] == "on_epoch_end"]
    for name, values in history.history.items():
        assert values == [end[name] for end in ends]
    assert list(ends[0]) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert calls[-1][1] == ends[-1]
    last_batch = [call[2] for call in calls if call[0] == "on_train_batch_end"][-1]
    assert last_batch == {name: ends[-1][name] for name in ("loss", "accuracy")}
    assert callback.model is made
    assert callback.params == {"verbose": 0, "epochs": 2, "steps": 2, "samples": 8}


def test_hooks_of_evaluate_and_predict() -> None:
    callback, calls = recorder()
    model().evaluate(X, Y, batch_size=5, verbose=0, callbacks=callback)
    batch = ["on_test_batch_begin", "on_test_batch_end"]
    assert [call[0] for call in calls] == ["on_test_begin", *batch, *batch, "on_test_end"]
    calls.clear()
    model().predict(X, batch_size=5, verbose=0, callbacks=[callback])
    batch = ["on_predict_batch_begin", "on_predict_batch_end"]
    assert [call[0] for call in calls] == ["on_predict_begin", *batch, *batch, "on_predict_end"]


def test_hooks_that_nobody_overrides_are_not_called() -> None:
    class Some(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Do nothing."""

    run = CallbackList([Some(), History()], model(), {})
    assert run.hooks("on_train_batch_end") == []
    assert len(run.hooks("on_epoch_end")) == 2
    some = Some()
    some.on_train_batch_end = print  # type: ignore[method-assign]
    assert len(CallbackList([some], model(), {}).hooks("on_train_batch_end")) == 1


def test_history_goes_on_in_a_second_run() -> None:
    history = History()
    made = model()
    made.fit(X, Y, epochs=2, verbose=0, callbacks=[history])
    made.fit(X, Y, epochs=3, initial_epoch=2, verbose=0, callbacks=[history])
    assert len(history.history["loss"]) == 3
    assert history.epoch == [2]


LINE = r"\d+\.\d s - [\d,]+ images/s - loss: \d\.\d{4} - accuracy: \d\.\d{4}"


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_one_line_an_epoch_where_there_is_no_terminal(
    verbose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model().fit(X, Y, batch_size=4, epochs=2, verbose=verbose, validation_split=0.2)
    lines = capsys.readouterr().out.splitlines()
    validation = r" - val_loss: \d\.\d{4} - val_accuracy: \d\.\d{4}"
    assert len(lines) == 2
    assert re.fullmatch(f"Epoch 1/2 - {LINE}{validation}", lines[0])
    assert re.fullmatch(f"Epoch 2/2 - {LINE}{validation}", lines[1])


def test_lines_of_evaluate_and_predict(capsys: pytest.CaptureFixture[str]) -> None:
    model().evaluate(X, Y)
    model().predict(X)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(f"Evaluate - {LINE}", first)
    assert re.fullmatch(r"Predict - \d+\.\d s - [\d,]+ images/s", second)


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    made = model()
    made.fit(X, Y, verbose=0, validation_split=0.5)
    made.evaluate(X, Y, verbose=0)
    made.predict(X, verbose=0)
    made.train_on_batch(X, Y)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("with_rich", [True, False])
def test_bar_in_a_terminal(with_rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if with_rich:
        pytest.importorskip("rich", reason="the bar of rich is shown where rich is installed")
    else:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_DRAWS", 0.0)
    model().fit(X, Y, batch_size=4, epochs=1)
    text = terminal.getvalue()
    for step in ("1/3", "2/3", "3/3"):
        assert step in text
    assert re.search(r"[\d,]+ images/s - \d+\.\d s left - loss: \d\.\d{4} - accuracy: ", text)
    # The bar is gone at the end and a plain line stays.
    assert re.search(rf"Epoch 1/1 - {LINE}\n$", text)


def test_verbose_2_shows_no_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    model().fit(X, Y, batch_size=4, epochs=2, verbose=2)
    assert len(terminal.getvalue().splitlines()) == 2
    assert "\r" not in terminal.getvalue()


def test_bar_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    drawn: list[int] = []

    class Bar:
        def draw(self, step: int, text: str) -> None:
            assert "images/s" in text
            drawn.append(step)

        def close(self) -> None:
            drawn.append(-1)

    monkeypatch.setattr(progress, "make_bar", lambda _title, _steps: Bar())
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    display = ProgressDisplay(1)
    display.set_params({"epochs": 1, "steps": 100, "samples": 3200})
    display.on_epoch_begin(0)
    for batch in range(100):
        now[0] += 0.03125
        display.on_train_batch_end(batch, {"loss": 1.0})
    display.on_epoch_end(0, {"loss": 1.0})
    # Every fourth step, and the last.
    assert drawn == [*range(4, 101, 4), -1]


def test_text_bar_leaves_nothing_behind() -> None:
    stream = io.StringIO()
    bar = TextBar("Epoch 1/1", 4, stream)
    bar.draw(2, "a long text")
    bar.draw(3, "short")
    bar.close()
    first, second, third, rest = stream.getvalue().split("\r")[1:]
    assert first == "Epoch 1/1 [============............] 2/4 - a long text"
    assert second.rstrip() == "Epoch 1/1 [==================......] 3/4 - short"
    assert len(second) == len(first)
    assert third.strip() == rest == ""
    assert len(third) >= len(second.rstrip())
