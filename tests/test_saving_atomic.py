"""A file is replaced by a complete one or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv.saving import files
from fastconv.saving.atomic import replacing
from support.files import small_model

pytest.importorskip("h5py", reason='files need h5py: pip install "fastconv[files]"')
pytest.importorskip("safetensors", reason='files need safetensors: pip install "fastconv[files]"')

SAVE: dict[str, Callable[[Any, Path], None]] = {
    "m.keras": lambda model, path: model.save(path),
    "m.weights.h5": lambda model, path: model.save_weights(path),
    "m.safetensors": lambda model, path: model.save_weights(path),
}
WRITER = {
    "m.keras": "write_archive",
    "m.weights.h5": "_write_hdf5",
    "m.safetensors": "write_safetensors",
}


@pytest.mark.parametrize("name", list(SAVE))
def test_the_old_file_survives_a_failure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    SAVE[name](small_model(), path)
    before = path.read_bytes()
    write = getattr(files, WRITER[name])

    def fail(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, WRITER[name], fail)
    with pytest.raises(OSError, match="No space left"):
        SAVE[name](small_model(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_the_old_file_survives_a_failure_at_the_end(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(OSError, match="Input/output"), replacing(path) as part:
            part.write_text("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with replacing(path) as part:
        assert part.parent == path.parent
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "f"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed(tmp_path: Path) -> None:
    """A link to the latest checkpoint stays one, and what it points to is replaced."""
    target = tmp_path / "folder" / "real.keras"
    target.parent.mkdir()
    small_model().save(target)
    link = tmp_path / "latest.keras"
    link.symlink_to(target)
    model = small_model()
    model.save(link)
    assert link.is_symlink()
    loaded = keras.models.load_model(target)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_files_have_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    small_model().save(tmp_path / "m.keras")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "m.keras")]
    assert modes[0] == modes[1]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        small_model().save(tmp_path / "missing" / "m.keras")
