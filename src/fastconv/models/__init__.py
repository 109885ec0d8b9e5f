"""Models: layers put together, trained and asked for predictions."""

from fastconv.models.model import Model
from fastconv.models.sequential import Sequential
from fastconv.saving import load_model, save_model

__all__ = ["Model", "Sequential", "load_model", "save_model"]
