"""The table that `summary` prints, as text and as cells."""

from __future__ import annotations

from typing import Any


def text_of(model: Any, **options: Any) -> str:
    """What a model of either package prints; `options` are arguments of Keras' `summary`."""
    parts: list[str] = []
    model.summary(print_fn=parts.append, **options)
    return "".join(parts)


def rows_of(text: str) -> list[list[str]]:
    """The cells of the table, lines that were wrapped joined again."""
    rows: list[list[str]] = []
    open_row = False
    for line in text.splitlines():
        if line.startswith("│"):
            cells = [cell.strip() for cell in line.strip("│").split("│")]
            if open_row:
                rows[-1] = [" ".join([a, b]).strip() for a, b in zip(rows[-1], cells, strict=True)]
            else:
                rows.append(cells)
            open_row = True
        else:
            open_row = False
    return rows
