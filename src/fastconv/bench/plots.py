"""The report as pictures; needs the extra `bench` (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastconv.bench.bars import Bar, Panel, draw
from fastconv.bench.cases import OPERATIONS
from fastconv.bench.comparisons import Comparison, Setting, comparisons, divided, totals
from fastconv.bench.layer_sets import LAYER_SETS
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
        rows = divided(part, lambda c: (c.setting, c.case.batch))
        panels = [_speeds(name, *key, rows[key]) for key in sorted(rows)]
        draw(panels, notes, folder / name)


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


def _speeds(set_name: str, setting: Setting, batch: int, part: Sequence[Comparison]) -> list[Panel]:
    """A panel for each operation of convolutions, and one for everything else, sorted."""
    panels: dict[str, list[Comparison]] = divided(
        part, lambda c: c.case.operation if c.kind == "convolutions" else "other"
    )
    sums = totals(part)
    row = []
    for name in sorted(panels, key=[*OPERATIONS, "other"].index):
        total = sums.get((set_name, batch, name))
        bars = [_bar(c, set_name, named=name == "other") for c in panels[name]]
        bars.sort(key=lambda bar: -bar.length.median)
        if total is not None and total.count > 1:
            text = f"{total.speed:.2f} ({time(total.seconds)})"
            length = Quartiles(total.speed, total.speed, total.speed)
            bars.insert(0, Bar("TOTAL", length, text, total.speed >= 1, bold=True))
        what = "Other operations" if name == "other" else capital(name)
        title = f"{what} of {LAYER_SETS[set_name].description}, batch {batch}\n{setting}"
        row.append(Panel(title, bars, "times as fast as the fastest peer", 1.0))
    return row


def _bar(c: Comparison, set_name: str, *, named: bool) -> Bar:
    """The speed of one layer, with the operation if that is not in the title."""
    assert c.speed is not None
    label = c.case.subject.removeprefix(f"{set_name}-")
    if named:
        label += f": {c.case.operation}"
    text = f"{c.speed.median:.2f} ({time(c.ours.seconds.median)})"
    return Bar(label, c.speed, text, c.speed.median >= 1)
