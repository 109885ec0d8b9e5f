"""The report as a picture; needs the extra `bench` (matplotlib)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

from fastconv.bench.processes import thread_words
from fastconv.bench.rendering import capital, time
from fastconv.bench.results import Report, fastest, grouped, thread_counts
from fastconv.bench.tables import setting

__all__ = ["save_plot"]

OURS = "#c2410c"
PEER = "#94a3b8"
GREY = "#64748b"
BAR_INCHES = 0.24
PANEL_INCHES = 6.5

LONGEST_BAR = 5.0
"""Times the fastest peer: longer bars are cut, so that those that matter can be told apart."""


class Bar(NamedTuple):
    """A bar with what is written beside it; `lower` and `upper` are quartiles."""

    label: str
    length: float
    lower: float
    upper: float
    text: str
    ours: bool


class Panel(NamedTuple):
    """Bars below each other, with a line at `mark` if there is one."""

    title: str
    bars: list[Bar]
    unit: str
    mark: float | None = None


def save_plot(report: Report, folder: Path) -> None:
    """Write plot.png and plot.svg: times of networks, or relative speeds of operations.

    Raises:
        ImportError: matplotlib is not there; the message names the command that installs it.
    """
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError as error:
        message = 'a plot needs matplotlib: pip install "fastconv[bench]"'
        raise ImportError(message) from error
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    rows = [*_speeds(report), *_times(report)]
    heights = [max(len(panel.bars) for panel in row) * BAR_INCHES + 0.8 for row in rows]
    columns = max(map(len, rows))
    figure, axes = pyplot.subplots(
        len(rows),
        columns,
        figsize=(PANEL_INCHES * columns, sum(heights) + 0.5),
        squeeze=False,
        height_ratios=heights,
        layout="constrained",
    )
    for row, places in zip(rows, axes, strict=True):
        for place in places[len(row) :]:
            place.set_axis_off()
        for panel, place in zip(row, places, strict=False):
            _draw(panel, place)
    figure.supxlabel("\n".join(setting(report)), fontsize=6, color=GREY)
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"plot.{suffix}", dpi=150)
    pyplot.close(figure)


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
                    1e3 * m.seconds.median,
                    1e3 * m.seconds.lower,
                    1e3 * m.seconds.upper,
                    time(m.seconds.median),
                    m.ours,
                )
                for m in sorted(here, key=lambda m: m.seconds.median)
            ]
            title = f"{capital(case.title)}\n{thread_words(threads)}, malloc {malloc}"
            row.append(Panel(title, bars, "ms"))
        rows.append(row)
    return rows


def _speeds(report: Report) -> list[list[Panel]]:
    """Relative speeds of operations: a row for each allocator, a panel for each thread count."""
    panels: dict[str, dict[int, Panel]] = {}
    for group in grouped(report):
        case, malloc = group[0].case, group[0].contestant.malloc
        if case.task != "ops":
            continue
        for threads in thread_counts(group):
            here = [m for m in group if m.contestant.threads == threads]
            ours, peer = fastest(here, ours=True), fastest(here, ours=False)
            if ours is None or peer is None:
                continue
            title = f"Speed relative to the fastest peer\n{thread_words(threads)}, malloc {malloc}"
            panel = panels.setdefault(malloc, {}).setdefault(
                threads, Panel(title, [], "times as fast", 1.0)
            )
            speed = ours.speed_relative_to(peer)
            text = f"{speed.median:.2f} ({time(ours.seconds.median)})"
            label = f"{case.subject}, batch {case.batch}: {case.operation}"
            panel.bars.append(
                Bar(label, speed.median, speed.lower, speed.upper, text, speed.median >= 1)
            )
    return [list(row.values()) for row in panels.values()]


def _draw(panel: Panel, axes: Any) -> None:
    bars = panel.bars
    longest = max(bar.length for bar in bars)
    peers = [bar.length for bar in bars if not bar.ours]
    if panel.mark is None and peers:
        longest = max(bar.length for bar in bars if bar.length <= LONGEST_BAR * min(peers))
    cut = 1.05 * longest
    for place, bar in enumerate(bars):
        colour = OURS if bar.ours else PEER
        shown = min(bar.length, cut)
        axes.barh(place, shown, height=0.72, color=colour)
        if bar.length <= cut:
            quarter = bar.lower, min(bar.upper, cut)
            axes.plot(quarter, [place, place], color="black", linewidth=0.8)
        text = bar.text if bar.length <= cut else f"{bar.text} >>"
        edge = max(shown, min(bar.upper, cut))
        axes.text(
            edge + 0.012 * cut,
            place,
            text,
            va="center",
            fontsize=7,
            weight="bold" if bar.ours and panel.mark is None else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars], fontsize=7)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 1.22 * cut)
    axes.set_xlabel(panel.unit, fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(panel.title, fontsize=8, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if panel.mark is not None:
        axes.axvline(panel.mark, color="black", linewidth=0.8, zorder=0.5)
