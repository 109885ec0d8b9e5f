"""The files that `--output` writes."""

from __future__ import annotations

import json
from pathlib import Path

from fastconv.bench.plots import save_plot
from fastconv.bench.rendering import as_markdown
from fastconv.bench.results import Report
from fastconv.bench.tables import case_tables, operation_tables, remarks

__all__ = ["markdown", "write"]


def write(report: Report, folder: Path) -> None:
    """Write results.md, results.json, plot.png and plot.svg, in place of what was there.

    Raises:
        ImportError: matplotlib is not there. The other files are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(markdown(report), encoding="utf-8")
    text = json.dumps(report.as_json(), indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    if report.measurements:
        save_plot(report, folder)


def markdown(report: Report) -> str:
    """Everything: the command, summaries, what the reader must know, and all contestants."""
    parts = [f"`{report.settings['command']}`, {report.machine['date']}", ""]
    found = remarks(report)
    parts += [*(f"- {line}" for line in found), ""] if found else []
    parts += [as_markdown(table) for table in (*operation_tables(report), *case_tables(report))]
    return "\n".join(parts)
