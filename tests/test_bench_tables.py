"""`fastconv bench`: statistics, the text of figures, tables and what they remark."""

from __future__ import annotations

import dataclasses
import io

import pytest

pytest.importorskip("typer", reason='needs pip install "fastconv[cli]"')
from rich.console import Console

from bench_reports import measured, report_of
from fastconv.bench import tables
from fastconv.bench.peers import OURS
from fastconv.bench.rendering import Table, as_markdown, as_rich, digits
from fastconv.bench.rendering import time as time_text
from fastconv.bench.statistics import paired_ratio, quartiles


def test_quartiles() -> None:
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 100.0]) == (2.0, 3.0, 4.0)


def test_paired_ratio_is_of_turns() -> None:
    # The machine is slower in every turn; what is twice as fast stays twice as fast.
    slow = [[2.0, 2.0, 9.0], [20.0], [200.0]]
    fast = [[1.0], [10.0, 10.0, 50.0], [100.0], [1.0]]
    assert paired_ratio(slow, fast) == (2.0, 2.0, 2.0)
    assert paired_ratio(fast, slow).median == 0.5


def test_text_of_figures() -> None:
    assert [time_text(s) for s in (2.0, 0.0123, 4.25e-5, 3e-9)] == [
        "2.00 s",
        "12.3 ms",
        "42.5 us",
        "0.00 us",
    ]
    assert [digits(v) for v in (1234.5, 99.96, 12.34, 9.999, 1.5)] == [
        "1234",
        "100",
        "12.3",
        "10.0",
        "1.50",
    ]


def test_markdown_of_a_table() -> None:
    table = Table("Title", ["a", "b"], ["a"], (), [[["x", "1"]], [["y", ""]]], {1}, ["note"])
    assert as_markdown(table).splitlines() == [
        "### Title",
        "",
        "| a | b |",
        "| :-- | --: |",
        "| x | 1 |",
        "| **y** |  |",
        "",
        "- note",
    ]


def test_narrow_terminals_get_fewer_columns() -> None:
    table = Table("Title", ["a", "bbbbbbbb", "c"], ["a"], ["bbbbbbbb"], [[["x", "1", "2"]]])
    for width, shown in ((40, True), (12, False)):
        console = Console(width=width, file=io.StringIO())
        console.print(as_rich(table, console))
        text = console.file.getvalue()
        assert ("bbbbbbbb" in text) == shown
        assert "2" in text


def test_case_table_compares_with_the_fastest_peer_of_equal_threads() -> None:
    report = report_of(
        measured("torch", 4e-3),
        measured(OURS, 2e-3),
        measured("numpy", 8e-3),
        measured("torch", 1e-3, threads=2),
    )
    (table,) = tables.case_tables(report)
    assert [[row[0], row[2], row[7]] for group in table.groups for row in group] == [
        ["fastconv", "1", "2.00x"],
        ["PyTorch", "1", "1.00x"],
        ["NumPy reference", "1", "0.50x"],
        ["PyTorch", "2", "1.00x"],
    ]
    assert table.bold == {0}
    verdicts = [note for note in table.notes if "as fast as" in note]
    assert [note.split(" as fast")[0] for note in verdicts] == [
        "1 thread: fastconv is 2.00x",
        "Each with its best number of threads: fastconv is 0.50x",
    ]
    # 128 * 4,881,920 flops in 2 ms; the median of the peaks is 2 GFLOP/s.
    assert table.groups[0][0][5:7] == ["312", "15622%"]


def test_remarks_name_what_disturbs() -> None:
    quiet = measured(OURS, 1.0)
    assert tables.remarks(report_of(quiet)) == []
    calm = dataclasses.replace(quiet, idle_share=0.1)
    report = report_of(dataclasses.replace(quiet, idle_share=0.5), calm)
    report.machine["load"] = "1.90"
    busy, idle = tables.remarks(report)
    assert "busy machine" in busy
    assert "used 30% of a processor while others were measured" in idle
