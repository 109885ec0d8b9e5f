"""The files that `--output` writes."""

from __future__ import annotations

import json
from pathlib import Path

from fastconv.bench.operation_tables import operation_tables, summary_tables
from fastconv.bench.plots import save_plots
from fastconv.bench.rendering import as_markdown
from fastconv.bench.results import Report
from fastconv.bench.tables import case_tables, remarks, setting

__all__ = ["markdown", "write"]


def write(report: Report, folder: Path) -> None:
    """Write results.md, results.json and plots as PNG and SVG, in place of what was there.

    Raises:
        ImportError: matplotlib is not there. The other files are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(markdown(report), encoding="utf-8")
    text = json.dumps(report.as_json(), indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    if report.measurements:
        save_plots(report, folder)


def markdown(report: Report) -> str:
    """The command, what the reader must know, summaries, and every table."""
    parts = [f"`{report.settings['command']}`, {report.machine['date']}", ""]
    parts += [*(f"- {line}" for line in (*setting(report), *remarks(report))), ""]
    tables = *summary_tables(report), *operation_tables(report), *case_tables(report)
    parts += [as_markdown(table) for table in tables]
    return "\n".join(parts)
