"""Every example runs with --quick, from a folder of its own, and says what it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
TEST_ACCURACY = r"Test accuracy"

# Script: what it must print, in this order, and the plots that it must save.
SCRIPTS: dict[str, tuple[list[str], list[str]]] = {
    "m1_sequential.py": (
        ["(None, 26, 26, 32)", "18,496", "16,010", "34,826", "Epoch 1/1", TEST_ACCURACY],
        [],
    ),
    "m2_keras_cnn_mnist.py": (["Epoch 1/1", TEST_ACCURACY], []),
    "m3_fashion_mnist.py": (["1,000", "(None, 26, 26, 64)", "(None, 1600)", TEST_ACCURACY], []),
    "m4_cifar10.py": (
        ["random images", "cifar_model", "(None, 30, 30, 32)", "16,416", "36,138", "Epoch 2/2"],
        ["m4_cifar10.png"],
    ),
    "m5_hello_world_cnn.py": (["hello-world-cnn", "Epoch 1/1", TEST_ACCURACY], []),
    "m6_m7_m8_count_parameters.py": (
        [
            "307300 parameters, by hand 307300",
            "2700 parameters, by hand 2700",
            "160 parameters, by hand 160",
            "12560 parameters, by hand 12560",
            "a feature map of 24x24",
        ],
        [],
    ),
    "m9_minimal_and_eight_layers.py": (
        ["Test accuracy of minimal", "(None, 24, 24, 16)", "Test accuracy of eight_layers"],
        [],
    ),
    "exercise_fashion_mnist.py": (
        ["val_recall", "precision 0."],
        ["exercise_mnist_history.png", "exercise_mnist_mistakes.png"],
    ),
    "exercise_dense_sizes.py": (
        ["dense 128: ", "dense 64: ", "dense 32: ", "dense 128, dropout 0.25: "],
        ["exercise_dense_sizes.png"],
    ),
    "exercise_dropout_rates.py": (
        ["dropout 0.0", "dropout 0.25", "dropout 0.5", "dropout 0.75"],
        ["exercise_dropout_rates.png"],
    ),
    "exercise_extra_convolution.py": (
        ["random images", "without: 47,370", "with the extra convolution: 36,138"],
        ["exercise_extra_convolution.png"],
    ),
}


def test_every_example_is_here_and_in_the_list() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == set(SCRIPTS)
    readme = (EXAMPLES / "README.md").read_text()
    assert [name for name in SCRIPTS if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_first_line(name: str) -> None:
    assert (EXAMPLES / name).read_text().startswith("import fastconv as keras\n")


@pytest.mark.parametrize(("name", "expected", "plots"), [(k, *v) for k, v in SCRIPTS.items()])
def test_example(name: str, expected: list[str], plots: list[str], tmp_path: Path) -> None:
    if plots:
        pytest.importorskip("matplotlib", reason="plots need matplotlib")
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), "--quick"]
    # A width at which no row of a summary is wrapped, and no window.
    environment = {**os.environ, "COLUMNS": "100", "MPLBACKEND": "Agg"}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
    place = 0
    for text in expected:
        found = result.stdout.find(text, place)
        assert found >= 0, f"{text!r} is missing in\n{result.stdout[place:]}"
        place = found
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(plots)
    for plot in plots:
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG")
