"""Models: layers put together, trained and asked for predictions."""

from fastconv.models.model import Model
from fastconv.models.sequential import Sequential

__all__ = ["Model", "Sequential"]
