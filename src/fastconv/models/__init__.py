"""Models: layers put together, trained and asked for predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastconv.models.model import Model
from fastconv.models.sequential import Sequential

if TYPE_CHECKING:
    from fastconv.saving import load_model, save_model

__all__ = ["Model", "Sequential", "load_model", "save_model"]


def __getattr__(name: str) -> Any:
    """Import what reads and writes files on first use."""
    if name in ("load_model", "save_model"):
        from fastconv import saving

        return getattr(saving, name)
    raise AttributeError(f"module 'fastconv.models' has no attribute {name!r}")
