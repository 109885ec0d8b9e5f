"""Precision inside a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastconv import config


@contextmanager
def strict_precision() -> Iterator[None]:
    """Only algorithms for which the elementwise error bound holds."""
    before = config.get_precision()
    config.set_precision("strict")
    try:
        yield
    finally:
        config.set_precision(before)
