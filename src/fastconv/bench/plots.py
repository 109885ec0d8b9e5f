"""The report as pictures; needs the extra `bench` (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastconv.bench.bars import Bar, Panel, draw
from fastconv.bench.cases import KINDS, OPERATIONS
from fastconv.bench.comparisons import Comparison, comparisons, divided, totals
from fastconv.bench.processes import thread_words
from fastconv.bench.rendering import capital, time
from fastconv.bench.results import Report, grouped, thread_counts
from fastconv.bench.statistics import Quartiles
from fastconv.bench.tables import setting

__all__ = ["save_plots"]


def save_plots(report: Report, folder: Path) -> None:
    """Write PNG and SVG: `plot` with times of networks, and one of relative speeds for each set.

    Raises:
        ImportError: matplotlib is not there; the message names the command that installs it.
    """
    notes = setting(report)
    times = _times(report)
    if times:
        draw(times, notes, folder / "plot")
    with_peer = [c for c in comparisons(report) if c.peer is not None]
    for name, part in divided(with_peer, lambda c: c.set_name).items():
        draw(_speeds(part), notes, folder / name)


def _times(report: Report) -> list[list[Panel]]:
    """Times of networks: a row for each case and allocator, a panel for each number of threads."""
    rows = []
    for group in grouped(report):
        case, malloc = group[0].case, group[0].contestant.malloc
        if case.task == "ops":
            continue
        row = []
        for threads in thread_counts(group):
            here = [m for m in group if m.contestant.threads == threads]
            bars = [
                Bar(
                    f"{m.contestant.description.title} ({m.contestant.mode})",
                    m.seconds.scaled(1e3),
                    time(m.seconds.median),
                    m.ours,
                    bold=m.ours,
                )
                for m in sorted(here, key=lambda m: m.seconds.median)
            ]
            title = f"{capital(case.title)}\n{thread_words(threads)}, malloc {malloc}"
            row.append(Panel(title, bars, "ms"))
        rows.append(row)
    return rows


def _speeds(part: Sequence[Comparison]) -> list[list[Panel]]:
    """Of a set: a row for each setting, batch and kind of layers, a panel for each operation."""
    rows = divided(part, lambda c: (c.setting, c.case.batch, list(KINDS).index(c.kind)))
    panels = []
    for key in sorted(rows):
        operations = divided(rows[key], lambda c: c.case.operation)
        order = sorted(operations, key=list(OPERATIONS).index)
        panels.append([_speed_panel(operations[name]) for name in order])
    return panels


def _speed_panel(part: Sequence[Comparison]) -> Panel:
    """Of one operation: the sum, and every layer, the fastest first."""
    ((_, total),) = totals(part).items()
    first = part[0]
    bars = [_bar(c) for c in part]
    bars.sort(key=lambda bar: -bar.length.median)
    if total.count > 1:
        length = Quartiles(total.speed, total.speed, total.speed)
        text = f"{total.speed:.2f} ({time(total.seconds)})"
        bars.insert(0, Bar("TOTAL", length, text, total.speed >= 1, bold=True))
    title = f"{first.set_name}, batch {first.case.batch}: {first.case.operation}"
    unit = f"times as fast as the fastest peer; {first.setting}"
    return Panel(title, bars, unit, 1.0)


def _bar(c: Comparison) -> Bar:
    """The speed of one layer."""
    assert c.speed is not None
    label = c.case.subject.removeprefix(f"{c.set_name}-")
    text = f"{c.speed.median:.2f} ({time(c.ours.seconds.median)})"
    return Bar(label, c.speed, text, c.speed.median >= 1)
