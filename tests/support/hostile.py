"""Files that must be refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import fastconv as keras


def load(path: Path) -> Any:
    return keras.models.load_model(path)


def assert_refused(path: Path, message: str) -> None:
    """By a ValueError that names the file, without a large allocation."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
