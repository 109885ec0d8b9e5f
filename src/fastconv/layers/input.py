"""The input of a model."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from fastconv._errors import value_error
from fastconv._shapes import normalize_int
from fastconv.layers.arguments import normalize_sizes
from fastconv.layers.layer import Layer
from fastconv.layers.symbolic import Shape, SymbolicTensor


class InputLayer(Layer):
    """Names the shape that a model expects. It has no weights and computes nothing.

    Args:
        shape: of a sample, without the batch; None where a size may vary.
        batch_size: None, or the only number of samples that the model takes.
        dtype, name: as for every layer.
    """

    def __init__(
        self,
        shape: Sequence[int | None],
        batch_size: int | None = None,
        dtype: str | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        sizes = normalize_sizes(self._title, "shape", shape)
        if batch_size is not None:
            batch_size = normalize_int(self._title, "batch_size", batch_size)
        self.batch_shape: Shape = (batch_size, *sizes)
        self._output = SymbolicTensor(self.batch_shape, self, ())
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {"batch_shape": list(self.batch_shape), "dtype": self.dtype, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        arguments = dict(config)
        batch_shape = arguments.pop("batch_shape", None)
        if not isinstance(batch_shape, list | tuple) or not batch_shape:
            expected = "sizes, the batch first"
            raise value_error("InputLayer", "batch_shape", "is not valid", expected, batch_shape)
        arguments |= {"shape": batch_shape[1:], "batch_size": batch_shape[0]}
        return super().from_config(arguments)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def Input(  # noqa: N802 - Keras' name
    shape: Sequence[int | None],
    batch_size: int | None = None,
    dtype: str | None = None,
    *,
    name: str | None = None,
) -> SymbolicTensor:
    """The symbolic input of a model.

    Args:
        shape: of a sample, without the batch; None where a size may vary.
        batch_size: None, or the only number of samples that the model takes.
        dtype: None or "float32".
        name: of the input layer.

    Raises:
        ValueError, TypeError: sizes that are not positive ints.

    >>> Input((28, 28, 1)).shape
    (None, 28, 28, 1)
    """
    return InputLayer(shape, batch_size, dtype, name=name).output
