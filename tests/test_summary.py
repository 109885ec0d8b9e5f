"""Summary tables, shapes and parameter counts of the seeds' models."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import fastconv as keras
from fastconv import layers
from seed_models import SEED_MODELS, Row, m1
from support.summaries import rows_of, text_of

M1_SUMMARY = """\
Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ conv2d (Conv2D)                 │ (None, 26, 26, 32)     │           320 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ max_pooling2d (MaxPooling2D)    │ (None, 13, 13, 32)     │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ conv2d_1 (Conv2D)               │ (None, 11, 11, 64)     │        18,496 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ max_pooling2d_1 (MaxPooling2D)  │ (None, 5, 5, 64)       │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ flatten (Flatten)               │ (None, 1600)           │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dropout (Dropout)               │ (None, 1600)           │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense (Dense)                   │ (None, 10)             │        16,010 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 34,826 (136.04 KB)
 Trainable params: 34,826 (136.04 KB)
 Non-trainable params: 0 (0.00 B)
"""


pytestmark = pytest.mark.usefixtures("fresh_names")


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_summary_of_m1_is_exact() -> None:
    assert text_of(m1()) == M1_SUMMARY


def test_summary_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    m1().summary()
    assert capsys.readouterr().out == M1_SUMMARY


@pytest.mark.parametrize("columns", [60, 80, 92, 200])
@pytest.mark.parametrize(("build", "rows", "total"), SEED_MODELS.values(), ids=SEED_MODELS)
def test_tables_of_the_seeds(
    build: Callable[[], keras.Model],
    rows: list[Row],
    total: int,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    model = build()
    text = text_of(model)
    expected = [
        [row.name, f"({', '.join(map(str, row.output_shape))})", f"{row.parameters:,}"]
        for row in rows
    ]
    assert rows_of(text) == expected
    assert f" Total params: {total:,} (" in text
    assert f" Trainable params: {total:,} (" in text
    assert " Non-trainable params: 0 (0.00 B)" in text
    widths = {len(line) for line in text.splitlines() if line[0] in "┏┃┡│├└"}
    assert widths == {min(columns - 4, 88)}


@pytest.mark.parametrize(("build", "rows", "total"), SEED_MODELS.values(), ids=SEED_MODELS)
def test_shapes_and_counts(build: Callable[[], keras.Model], rows: list[Row], total: int) -> None:
    model = build()
    assert [layer.output.shape for layer in model.layers] == [row.output_shape for row in rows]
    assert [layer.count_params() for layer in model.layers] == [row.parameters for row in rows]
    assert model.count_params() == total
    assert model.output_shape == rows[-1].output_shape
    assert sum(weight.size for weight in model.get_weights()) == total


def test_name_of_the_model_is_shown() -> None:
    build, _, _ = SEED_MODELS["M4"]
    assert text_of(build()).startswith('Model: "cifar_model"\n')


def test_unbuilt_model() -> None:
    model = keras.Sequential([layers.Conv2D(2, 3), layers.Flatten()])
    assert rows_of(text_of(model)) == [
        ["conv2d (Conv2D)", "?", "0 (unbuilt)"],
        ["flatten (Flatten)", "?", "0 (unbuilt)"],
    ]
    model.build((None, 5, 5, 1))
    assert rows_of(text_of(model)) == [
        ["conv2d (Conv2D)", "(None, 3, 3, 2)", "20"],
        ["flatten (Flatten)", "(None, 18)", "0"],
    ]


def test_frozen_layers_are_counted_apart() -> None:
    model = m1()
    model.layers[0].trainable = False
    text = text_of(model)
    assert " Total params: 34,826 (136.04 KB)\n" in text
    assert " Trainable params: 34,506 (134.79 KB)\n" in text
    assert " Non-trainable params: 320 (1.25 KB)\n" in text


def test_optimizer_is_counted_once_it_has_state() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("adam", "mse")
    assert "Optimizer" not in text_of(model)
    model.train_on_batch([[1.0, 2.0, 3.0]], [1.0])
    text = text_of(model)
    # Two float32 for each of 4 parameters, the learning rate, and an int64 for the step.
    assert " Optimizer params: 10 (44.00 B)\n" in text
    assert " Total params: 14 (60.00 B)\n" in text
    assert " Trainable params: 4 (16.00 B)\n" in text


def test_long_names_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    name = "a_rather_long_name_for_one_layer"
    text = text_of(keras.Sequential([keras.Input((3,)), layers.Dense(1, name=name)]))
    cells = rows_of(text)[0]
    assert cells[0].replace(" ", "") == f"{name}(Dense)"
    assert {len(line) for line in text.splitlines() if line[0] in "┏┃┡│├└"} == {46}


def test_graphs_show_what_layers_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    x = keras.Input((4,))
    shared = layers.Dense(4)
    y = shared(x)
    text = text_of(keras.Model(x, layers.Add()([shared(y), x])))
    assert rows_of(text) == [
        ["input_layer (InputLayer)", "(None, 4)", "0", "-"],
        ["dense (Dense)", "(None, 4)", "20", "input_layer[0][0], dense[0][0]"],
        ["add (Add)", "(None, 4)", "0", "dense[1][0], input_layer[0][0]"],
    ]
    widths = {len(line) for line in text.splitlines() if line[0] in "┏┃┡│├└"}
    assert widths == {108}


def test_a_functional_chain_shows_its_input() -> None:
    x = keras.Input((4,))
    text = text_of(keras.Model(x, layers.Dense(2)(x), name="small"))
    assert text.startswith('Model: "small"\n')
    assert rows_of(text) == [
        ["input_layer (InputLayer)", "(None, 4)", "0"],
        ["dense (Dense)", "(None, 2)", "10"],
    ]
