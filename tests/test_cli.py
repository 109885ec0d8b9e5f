"""The command line, inside this process and as a program of its own."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason='needs pip install "fastconv[cli]"')
from typer.testing import CliRunner, Result

import fastconv
from fastconv import cli, networks
from fastconv.datasets import _catalogue, fashion_mnist, mnist
from idx_files import idx

# Nothing listens on the discard port of the loopback interface: refused at once.
CLOSED = "http://127.0.0.1:9/"


def run(*arguments: str) -> Result:
    """Run a command in this process, on a wide terminal without colours."""
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, arguments)


def run_program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m fastconv` with no data set, no network, and an empty standard input."""
    changed = {"COLUMNS": "200", "https_proxy": CLOSED, "http_proxy": CLOSED, **environment}
    kept = {k: v for k, v in os.environ.items() if k not in {"FASTCONV_DATA_DIR", "no_proxy"}}
    return subprocess.run(
        [sys.executable, "-m", "fastconv", *arguments],
        env=kept | changed,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def write_digits(folder: Path, train: int = 192, test: int = 64) -> Path:
    """A folder of IDX files: 12x12 images of noise, the class is the quarter that is bright."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % 4
        images = rng.integers(0, 64, (count, 12, 12), np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = 6 * (label // 2), 6 * (label % 2)
            image[row : row + 6, column : column + 6] += 128
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


@pytest.fixture
def digits(tmp_path: Path) -> str:
    """A small data set that every network learns."""
    return str(write_digits(tmp_path / "digits"))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no data sets, and mirrors that refuse."""
    monkeypatch.delenv("FASTCONV_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module, name in ((mnist, "MNIST"), (fashion_mnist, "FASHION_MNIST")):
        refusing = dataclasses.replace(getattr(_catalogue, name), mirrors=(CLOSED,))
        monkeypatch.setattr(module, name, refusing)


def accuracy_of(output: str) -> float:
    """The percentage in the last line."""
    (found,) = re.findall(r"test accuracy (\S+) %", output)
    return float(found)


def test_info_shows_the_build() -> None:
    result = run("info")
    assert result.exit_code == 0
    for value in fastconv.config.build_info().values():
        # Long values continue on the next line.
        assert value[:100] in result.output


def test_train_learns_and_reports(digits: str) -> None:
    result = run("train", digits, "--model", "minimal", "--epochs", "10", "--batch-size", "32")
    assert result.exit_code == 0, result.output
    assert accuracy_of(result.output) == 100.0
    assert "192 training and 64 test images of 12x12x1, 4 classes" in result.output
    lines = re.findall(
        r"Epoch (\d+)/10 - \d+\.\d s - [\d,]+ images/s - loss: \S+ - accuracy: (\S+)\n",
        result.output,
    )
    assert [int(number) for number, _ in lines] == list(range(1, 11))
    assert float(lines[-1][1]) > float(lines[0][1])


@pytest.mark.parametrize("model", networks.NETWORKS)
def test_every_network_trains(model: str, tmp_path: Path) -> None:
    # Large enough for the four convolutions and two poolings of the deepest.
    folder = tmp_path / "images"
    folder.mkdir()
    for name, count in (("train", 40), ("t10k", 10)):
        images = np.random.default_rng(1).integers(0, 256, (count, 28, 28), np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    result = run("train", str(folder), "--model", model, "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert networks.NETWORKS[model].description in result.output
    assert np.isfinite(accuracy_of(result.output))


def test_train_repeats_with_a_seed(digits: str) -> None:
    def losses(*options: str) -> list[str]:
        with fastconv.num_threads(fastconv.get_num_threads()):
            output = run("train", digits, "--model", "minimal", "--epochs", "3", *options).output
        found = re.findall(r"loss: \S+ - accuracy: \S+|test accuracy \S+", output)
        assert len(found) == 4
        return found

    assert losses() == losses() == losses("--seed", "0", "--threads", "1")
    assert losses("--seed", "1") != losses()


@pytest.mark.usefixtures("offline")
def test_train_mnist_offline_uses_the_sample() -> None:
    result = run("train", "mnist", "--model", "minimal", "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "sample" in result.output
    assert "6,000 training and 1,000 test images of 28x28x1, 10 classes" in result.output


@pytest.mark.usefixtures("offline")
def test_train_offline_without_a_sample_fails() -> None:
    result = run("train", "fashion-mnist")
    assert result.exit_code == 1
    assert f"error: {_catalogue.FASHION_MNIST.files[0].name}" in result.output
    assert CLOSED in result.output
    assert _catalogue.FASHION_MNIST.files[0].sha256 in result.output


@pytest.mark.usefixtures("offline")
def test_damaged_data_is_not_replaced_by_the_sample(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FASTCONV_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"damaged")
    result = run("train", "mnist")
    assert result.exit_code == 1
    assert "SHA-256" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mnits"], 1, "DATA must be one of mnist, fashion-mnist, cifar10 or a folder"),
        (["mnist", "--model", "m2"], 2, "'m2' is not one of m1, m3"),
        (["mnist", "--epochs", "0"], 2, "--epochs"),
        (["mnist", "--batch-size", "many"], 2, "--batch-size"),
        (["mnist", "--threads", "-1"], 2, "--threads"),
    ],
)
def test_wrong_arguments(arguments: list[str], code: int, message: str) -> None:
    result = run("train", *arguments)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output


def test_folder_with_a_damaged_file(digits: str) -> None:
    path = Path(digits) / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    result = run("train", digits)
    assert result.exit_code == 1
    assert f"error: {path}" in result.output


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"], ["info", "--help"]])
def test_help(arguments: list[str]) -> None:
    result = run_program(*arguments)
    assert "Usage" in result.stdout + result.stderr
    if arguments[:1] == ["train"]:
        assert all(network in result.stdout for network in networks.NETWORKS)
        assert "fastconv train mnist" in result.stdout


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_missing_extra_is_named(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import fastconv.__main__ as m; m.main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert 'pip install "fastconv[cli]"' in result.stderr
    assert "Traceback" not in result.stderr


def test_train_mnist_on_a_fresh_machine(tmp_path: Path) -> None:
    """The README's command with no data set and no network."""
    result = run_program("train", "mnist", XDG_CACHE_HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert accuracy_of(result.stdout) >= 97.0
