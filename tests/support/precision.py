"""Precision inside a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from fastconv import config


@contextmanager
def precision(name: config.Precision) -> Iterator[None]:
    """Set it, and set it back."""
    before = config.get_precision()
    config.set_precision(name)
    try:
        yield
    finally:
        config.set_precision(before)


def strict_precision() -> AbstractContextManager[None]:
    """Only algorithms for which the elementwise error bound holds."""
    return precision("strict")
