"""Tables of text, for a terminal and in Markdown, and figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from fastconv.bench.statistics import Quartiles

__all__ = ["Table", "as_markdown", "as_rich", "digits", "ratio", "time"]


@dataclass
class Table:
    """Text in rows and columns.

    Attributes:
        columns: headings; the first `text_columns` hold words, the others figures.
        groups: rows, in groups that belong together.
        ours: numbers of the rows that are fastconv's, counted through the groups.
        notes: what stands below.
    """

    title: str
    columns: Sequence[str]
    text_columns: int
    groups: list[list[Sequence[str]]] = field(default_factory=list)
    ours: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def as_rich(table: Table) -> Group:
    """The table for a terminal."""
    shown = RichTable(title=table.title, title_justify="left", title_style="bold")
    for number, column in enumerate(table.columns):
        words = number < table.text_columns
        shown.add_column(column, justify="left" if words else "right", no_wrap=not words)
    number = 0
    for group in table.groups:
        for row in group:
            shown.add_row(*row, style="bold green" if number in table.ours else None)
            number += 1
        shown.add_section()
    return Group(shown, *(Text(note, style="dim") for note in table.notes), "")


def as_markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    rule = [":--" if i < table.text_columns else "--:" for i in range(len(table.columns))]
    lines = [f"### {table.title}", "", _line(table.columns), _line(rule)]
    number = 0
    for group in table.groups:
        for row in group:
            bold = number in table.ours
            lines.append(_line([f"**{cell}**" if bold and cell else cell for cell in row]))
            number += 1
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes), ""])


def time(seconds: float) -> str:
    """Three digits in a unit that suits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            return f"{digits(seconds / size)} {unit}"
    raise AssertionError


def ratio(value: Quartiles) -> str:
    """How many times as fast."""
    return f"{value.median:.2f}x"


def digits(value: float) -> str:
    """Three of them, or two behind the point."""
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
