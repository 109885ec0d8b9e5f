"""Pictures of bars in panels, drawn with matplotlib."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastconv.bench.statistics import Quartiles

__all__ = ["Bar", "Panel", "draw"]

OURS = "#c2410c"
PEER = "#94a3b8"
GREY = "#64748b"
BAR_INCHES = 0.2
PANEL_INCHES = 5.0

LONGEST_BAR = 5.0
"""Times the fastest peer, in panels of times: longer bars are cut, so that those that matter can be
told apart."""

LONGEST_SPEED = 3.0
"""The end of all panels of speeds, so that one can be compared with the next."""


class Bar(NamedTuple):
    """A bar with what is written beside it.

    Attributes:
        ours: whether it has fastconv's colour.
    """

    label: str
    length: Quartiles
    text: str
    ours: bool
    bold: bool = False


class Panel(NamedTuple):
    """Bars below each other, with a line at `mark` if they are speeds."""

    title: str
    bars: list[Bar]
    unit: str
    mark: float | None = None

    @property
    def end(self) -> float:
        """Where longer bars are cut."""
        peers = [bar.length.median for bar in self.bars if not bar.ours]
        if self.mark is not None:
            return LONGEST_SPEED
        longest = max(bar.length.median for bar in self.bars)
        if peers:
            limit = LONGEST_BAR * min(peers)
            longest = max(bar.length.median for bar in self.bars if bar.length.median <= limit)
        return 1.05 * longest


def draw(rows: Sequence[Sequence[Panel]], notes: Sequence[str], path: Path) -> None:
    """Write a picture of rows of panels as PNG and SVG; the path has no suffix.

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
    heights = [max(len(panel.bars) for panel in row) * BAR_INCHES + 0.7 for row in rows]
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
        most = max(len(panel.bars) for panel in row)
        for place in places[len(row) :]:
            place.set_axis_off()
        for panel, place in zip(row, places, strict=False):
            _draw_panel(panel, place, most)
    figure.supxlabel("\n".join(notes), fontsize=6, color=GREY)
    # As letters, not as curves: a tenth of the size.
    matplotlib.rcParams["svg.fonttype"] = "none"
    for suffix in ("png", "svg"):
        figure.savefig(f"{path}.{suffix}", dpi=110)
    pyplot.close(figure)


def _draw_panel(panel: Panel, axes: Any, places: int) -> None:
    """The bars, in as many places as the panel of its row with most bars has."""
    end = panel.end
    for place, bar in enumerate(panel.bars):
        lower, median, upper = bar.length
        shown = min(median, end)
        axes.barh(place, shown, height=0.72, color=OURS if bar.ours else PEER)
        if median <= end:
            axes.plot((lower, min(upper, end)), (place, place), color="black", linewidth=0.8)
        axes.text(
            max(shown, min(upper, end)) + 0.012 * end,
            place,
            bar.text if median <= end else f"{bar.text} >>",
            va="center",
            fontsize=7,
            weight="bold" if bar.bold else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    axes.set_yticks(range(len(panel.bars)), [bar.label for bar in panel.bars], fontsize=7)
    # A bar alone is no thicker than others.
    axes.set_ylim(max(places, 2) - 0.4, -0.6)
    axes.set_xlim(0, 1.3 * end)
    axes.set_xlabel(panel.unit, fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(panel.title, fontsize=8, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if panel.mark is not None:
        axes.axvline(panel.mark, color="black", linewidth=0.8, zorder=0.5)
