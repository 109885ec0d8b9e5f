"""The table of `Model.summary()`, in the look of Keras 3."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv.layers import Layer
    from fastconv.layers.symbolic import Shape, SymbolicTensor
    from fastconv.layers.variable import Variable
    from fastconv.models.network import Network

_MARGIN = 4
_HEADER = ("Layer (type)", "Output Shape", "Param #", "Connected to")
_RIGHT = (False, False, True, False)


class _Layout(NamedTuple):
    """Where the columns end, as parts of the width, and the most characters of a line."""

    ends: tuple[float, ...]
    widest: int


_CHAIN = _Layout((0.45, 0.80, 1.0), 88)
_GRAPH = _Layout((0.3, 0.56, 0.74, 1.0), 108)


def summary_text(model: Network, optimizer_bytes: tuple[int, int] | None = None) -> str:
    """The table and the totals, at most as wide as the terminal.

    A model that is no chain of layers has a column for what each layer is called on.

    Args:
        model: may be unbuilt; then shapes and counts are not known.
        optimizer_bytes: number of values and bytes that the optimizer keeps; None before training.
    """
    import shutil

    connections = model.connections()
    layout = _CHAIN if connections is None else _GRAPH
    width = max(min(layout.widest, shutil.get_terminal_size().columns - _MARGIN), 30)
    shapes = model.shapes_of_results()
    rows = [_row(layer, shapes.get(layer)) for layer in model.layers]
    if connections is not None:
        rows = [
            (*row, _connected(connections[layer]))
            for row, layer in zip(rows, model.layers, strict=True)
        ]
    lines = [f'Model: "{model.name}"', *_table(rows, _column_widths(width, layout.ends))]
    trainable = _size(model.trainable_weights)
    frozen = _size(model.non_trainable_weights)
    kept = optimizer_bytes or (0, 0)
    total = (trainable[0] + frozen[0] + kept[0], trainable[1] + frozen[1] + kept[1])
    lines += [
        _total("Total params", *total),
        _total("Trainable params", *trainable),
        _total("Non-trainable params", *frozen),
    ]
    if optimizer_bytes is not None:
        lines.append(_total("Optimizer params", *kept))
    return "\n".join(lines) + "\n"


def _row(layer: Layer, shape: Shape | None) -> tuple[str, ...]:
    title = f"{layer.name} ({type(layer).__name__})"
    count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
    return title, "?" if shape is None else _shape(shape), count


def _connected(inputs: Sequence[SymbolicTensor]) -> str:
    return ", ".join(f"{tensor.name}[{tensor.call}][0]" for tensor in inputs) or "-"


def _shape(shape: Shape) -> str:
    return f"({', '.join(str(size) for size in shape)})"


def _size(variables: Sequence[Variable]) -> tuple[int, int]:
    count = sum(math.prod(variable.shape) for variable in variables)
    return count, sum(variable.value.nbytes for variable in variables)


def _total(title: str, count: int, size: float) -> str:
    return f" {title}: {count:,} ({_memory(size)})"


def _memory(size: float) -> str:
    """A number of bytes in the unit that suits it.

    >>> _memory(139304)
    '136.04 KB'
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


def _table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    header = _HEADER[: len(widths)]
    lines = [_rule("┏┳┓", "━", widths), *_cells(header, widths, "┃")]
    lines.append(_rule("┡╇┩", "━", widths))
    for index, row in enumerate(rows):
        if index:
            lines.append(_rule("├┼┤", "─", widths))
        lines += _cells(row, widths, "│")
    return [*lines, _rule("└┴┘", "─", widths)]


def _column_widths(width: int, positions: Sequence[float]) -> list[int]:
    """Widths of the columns with a space on either side, so that the table is `width` wide.

    >>> _column_widths(76, (0.45, 0.80, 1.0))
    [33, 24, 15]
    """
    ends = [int(position * width) for position in positions]
    widths = [end - start + 2 for start, end in zip([0, *ends], ends, strict=False)]
    excess = sum(widths) + len(widths) + 1 - width
    for index in range(len(widths)):
        share = round(excess / (len(widths) - index))
        widths[index] -= share
        excess -= share
    return widths


def _rule(corners: str, line: str, widths: Sequence[int]) -> str:
    return corners[0] + corners[1].join(line * width for width in widths) + corners[2]


def _cells(row: Sequence[str], widths: Sequence[int], edge: str) -> list[str]:
    wrapped = [
        textwrap.wrap(text, width - 2) or [""] for text, width in zip(row, widths, strict=True)
    ]
    lines = []
    for index in range(max(map(len, wrapped))):
        parts = []
        for text, width, right in zip(wrapped, widths, _RIGHT, strict=False):
            part = text[index] if index < len(text) else ""
            parts.append(f" {part.rjust(width - 2) if right else part.ljust(width - 2)} ")
        lines.append(edge + edge.join(parts) + edge)
    return lines
