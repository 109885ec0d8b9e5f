"""The tutorial computes what it says, and its pictures are drawn from that."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    path = ROOT / "tools" / "make_tutorial_plots.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_blocks_give_what_the_page_says_and_the_pictures(tool: ModuleType, tmp_path: Path) -> None:
    tool.draw_all(tool.run_page(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in IMAGES.iterdir()}


def test_pictures_are_those_of_the_page(tool: ModuleType) -> None:
    named = re.findall(r"!\[.+?\]\(images/([\w.]+)\)", tool.PAGE.read_text())
    assert named == list(tool.PICTURES)
    for name in named:
        content = (IMAGES / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        # Small enough to be kept with the sources.
        assert len(content) < 100_000
