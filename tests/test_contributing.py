"""What CONTRIBUTING.md shows is true: its diff adds a layer, which every layer's tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"


def shown_diff() -> str:
    (diff,) = re.findall(r"^```diff\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return diff


def test_a_layer_is_one_class_one_export_and_one_row() -> None:
    added = re.findall(r"^\+(?!\+\+)(.*)", shown_diff(), re.MULTILINE)
    assert len([line for line in added if line.startswith("class ")]) == 1
    assert len([line for line in added if line.startswith("    row(")]) == 1
    assert len([line for line in added if line.startswith("from ")]) == 1


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package as it is installed, and the tests, after the diff."""
    shutil.copytree(Path(fastconv.__file__).parent, tmp_path / "src" / "fastconv")
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    # Not as a part of a repository that the folder of temporary files may be in.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    try:
        subprocess.run(
            ["git", "apply", "--whitespace=error", "-"],
            input=shown_diff(),
            text=True,
            cwd=tmp_path,
            env=environment,
            check=True,
        )
    except FileNotFoundError:
        pytest.skip("needs git to apply the diff")
    return tmp_path


def test_the_diff_adds_a_layer(copy: Path) -> None:
    (name,) = re.findall(r"^\+class (\w+)", shown_diff(), re.MULTILINE)

    def python(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy / "src")},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    place = python("-c", "import fastconv; print(fastconv.__file__)")
    if str(copy) not in place:
        pytest.skip("an editable install comes before every other copy")
    python(
        "-c",
        "import doctest, sys; from fastconv import layers\n"
        f"module = sys.modules[layers.{name}.__module__]\n"
        "result = doctest.testmod(module)\n"
        "assert result.attempted and not result.failed",
    )
    files = ("tests/test_layer_table.py", "tests/test_saving_objects.py")
    told = python("-m", "pytest", "-q", "-k", f"{name} or every", *files)
    (passed,) = re.findall(r"^(\d+) passed", told, re.MULTILINE)
    # Shapes, samples, gradients, inputs left alone, configuration, files: once each at least.
    assert int(passed) >= 8
