"""Tensors without values, which stand for the results of layers while a model is put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fastconv.layers.layer import Layer

Shape: TypeAlias = tuple[int | None, ...]


class SymbolicTensor:
    """The result of `layer` on `inputs`; a model is the graph that these links make.

    Attributes:
        shape: batch first, None where a size is not known.
        dtype: "float32".
        layer: what makes the tensor.
        inputs: what the layer was called on; empty for the input of a model.
        call: number of calls of the layer on tensors before the one that made this tensor.
    """

    def __init__(
        self, shape: Shape, layer: Layer, inputs: tuple[SymbolicTensor, ...], call: int = 0
    ) -> None:
        self.shape = shape
        self.dtype = "float32"
        self.layer = layer
        self.inputs = inputs
        self.call = call

    @property
    def name(self) -> str:
        """Name of the layer that makes the tensor."""
        return self.layer.name

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"
