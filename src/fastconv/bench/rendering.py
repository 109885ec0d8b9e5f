"""Tables of text, for a terminal and in Markdown, and figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from fastconv.bench.statistics import Quartiles

__all__ = ["Table", "as_markdown", "as_rich", "capital", "digits", "middle_half", "ratio", "time"]


@dataclass
class Table:
    """Text in rows and columns.

    Attributes:
        words: headings of the columns that hold words; the others hold figures.
        dispensable: headings that a narrow terminal does without, in this order.
        groups: rows, in groups that belong together.
        bold: numbers of the rows that stand out, counted through the groups.
        notes: what stands below.
    """

    title: str
    columns: Sequence[str]
    words: Sequence[str]
    dispensable: Sequence[str] = ()
    groups: list[list[Sequence[str]]] = field(default_factory=list)
    bold: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def as_rich(table: Table, console: Console) -> Group:
    """The table for a terminal, without what is dispensable if it would be too wide."""
    hidden: list[str] = []
    shown = _without(table, hidden)
    unlimited = console.options.update(max_width=10_000)
    for column in table.dispensable:
        if console.measure(shown, options=unlimited).maximum <= console.width:
            break
        hidden.append(column)
        shown = _without(table, hidden)
    return Group(shown, *(Text(note, style="dim") for note in table.notes), "")


def _without(table: Table, hidden: Sequence[str]) -> RichTable:
    shown = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    kept = [i for i, column in enumerate(table.columns) if column not in hidden]
    for i in kept:
        words = table.columns[i] in table.words
        justify: JustifyMethod = "left" if words else "right"
        shown.add_column(table.columns[i], justify=justify, no_wrap=not words, overflow="fold")
    number = 0
    for group in table.groups:
        for row in group:
            style = "bold green" if number in table.bold else None
            shown.add_row(*(row[i] for i in kept), style=style)
            number += 1
        shown.add_section()
    return shown


def as_markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    rule = [":--" if column in table.words else "--:" for column in table.columns]
    lines = [f"### {table.title}", "", _line(table.columns), _line(rule)]
    number = 0
    for group in table.groups:
        for row in group:
            bold = number in table.bold
            lines.append(_line([f"**{cell}**" if bold and cell else cell for cell in row]))
            number += 1
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes), ""])


def time(seconds: float) -> str:
    """Three digits in a unit that suits."""
    unit, size = unit_of(seconds)
    return f"{digits(seconds / size)} {unit}"


def middle_half(value: Quartiles) -> str:
    """From the lower to the upper quartile, in the unit that suits the median."""
    _, size = unit_of(value.median)
    return f"{digits(value.lower / size)} - {digits(value.upper / size)}"


def unit_of(seconds: float) -> tuple[str, float]:
    """The largest unit of which there is one, and its seconds."""
    units = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))
    return next((unit for unit in units if seconds >= unit[1]), units[-1])


def ratio(value: Quartiles) -> str:
    """How many times as fast."""
    return f"{value.median:.2f}x"


def capital(text: str) -> str:
    """The text with a large first letter."""
    return text[:1].upper() + text[1:]


def digits(value: float) -> str:
    """Three of them, or two behind the point."""
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
