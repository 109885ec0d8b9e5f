"""What the tables of networks say, and what is said beside all tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from fastconv.bench.processes import thread_words
from fastconv.bench.rendering import Table, capital, digits, middle_half, ratio, time
from fastconv.bench.results import Measurement, Report, fastest, grouped, thread_counts

__all__ = ["case_tables", "rates", "remarks", "setting"]

IDLE_LIMIT = 0.02
"""Of a processor: above it a contestant disturbs the others while it waits."""

BUSY_LOAD = 0.25
"""Programs that run or want to, for each processor."""


def case_tables(report: Report) -> list[Table]:
    """For each task of a network and allocator all contestants, by threads, the fastest first."""
    networks = [group for group in grouped(report) if group[0].case.task != "ops"]
    return [_case_table(report, group) for group in networks]


def remarks(report: Report) -> list[str]:
    """What else the reader must know: who is missing, who failed, who disturbed."""
    lines = [f"{name} is not installed: {command}" for name, command in report.missing.items()]
    machine = report.machine
    if float(machine["load"].split(",")[0]) > BUSY_LOAD * float(machine["processors"]):
        lines.append(
            f"other programs were running (load {machine['load']} before the start): the times "
            "are those of a busy machine"
        )
    for problem in report.problems:
        kind = "WRONG RESULT" if problem.kind == "mismatch" else "could not run"
        lines.append(f"{problem.contestant}: {kind} in {problem.case.title}: {problem.message}")
    idle: dict[str, list[float]] = {}
    for m in report.measurements:
        idle.setdefault(str(m.contestant), []).append(m.idle_share)
    lines += [
        f"{contestant} used {mean(shares):.0%} of a processor while others were measured"
        for contestant, shares in idle.items()
        if mean(shares) > IDLE_LIMIT
    ]
    if report.settings.get("isa"):
        free = {
            m.contestant.description.title
            for m in report.measurements
            if not m.contestant.description.held_by_isa
        }
        lines += [f"{title} cannot be held to an instruction set" for title in sorted(free)]
    return lines


def setting(report: Report) -> list[str]:
    """Machine, instruction set, threads and versions, as every table has them below it."""
    machine = report.machine
    peaks = ", ".join(
        f"{report.peak(threads) / 1e9:.0f} GFLOP/s with {thread_words(threads)}"
        for threads in sorted(report.peak_flops)
    )
    isa = report.settings.get("isa") or machine["isa"]
    held = "all held to it" if report.settings.get("isa") else "peers choose theirs"
    return [
        f"{machine['processor']}, {machine['processors']} processors, {machine['system']}; "
        f"fastconv on {isa}, {held}; {machine['libc']}",
        f"Python {machine['python']}, {machine['versions']}",
        f"multiply-add peak measured between the turns: {peaks}",
    ]


def _case_table(report: Report, group: Sequence[Measurement]) -> Table:
    case, malloc = group[0].case, group[0].contestant.malloc
    columns = ["library", "mode", "threads", "median", "quartiles", "GFLOP/s", "of peak"]
    title = f"{capital(case.title)}, malloc {malloc}"
    dispensable = ("memory", "GFLOP/s", "quartiles")
    table = Table(title, [*columns, "speed", "memory"], ("library", "mode"), dispensable)
    number = 0
    for threads in thread_counts(group):
        here = [m for m in group if m.contestant.threads == threads]
        peer = fastest(here, ours=False)
        rows: list[Sequence[str]] = []
        for m in sorted(here, key=lambda m: m.seconds.median):
            if m.ours:
                table.bold.add(number)
            number += 1
            rows.append(
                [
                    m.contestant.description.title,
                    m.contestant.mode,
                    str(threads),
                    time(m.seconds.median),
                    middle_half(m.seconds),
                    *rates(report, m.case.flops, m.seconds.median, threads),
                    "" if peer is None else ratio(m.speed_relative_to(peer)),
                    f"{m.peak_bytes / 2**20:.0f} MiB",
                ]
            )
        table.groups.append(rows)
    table.notes = [*_verdicts(group), *setting(report)]
    return table


def _verdicts(group: Sequence[Measurement]) -> list[str]:
    """A sentence for each number of threads, and one for the best number of each."""
    lines = []
    counts = thread_counts(group)
    for threads in counts:
        here = [m for m in group if m.contestant.threads == threads]
        lines += _verdict(capital(thread_words(threads)), here)
    if len(counts) > 1:
        lines += _verdict("Each with its best number of threads", group)
    return lines


def _verdict(start: str, group: Sequence[Measurement]) -> list[str]:
    ours, peer = fastest(group, ours=True), fastest(group, ours=False)
    if ours is None or peer is None:
        return []
    return [
        f"{start}: fastconv is {ratio(ours.speed_relative_to(peer))} as fast as the fastest peer, "
        f"{peer.contestant.description.title} ({peer.contestant.mode}): "
        f"{time(ours.seconds.median)} against {time(peer.seconds.median)}"
    ]


def rates(report: Report, flops: float, seconds: float, threads: int) -> list[str]:
    """Effective GFLOP/s, by the dense rule, and their share of the peak of as many threads."""
    if not flops:
        return ["", ""]
    rate = flops / seconds
    peak = report.peak(threads)
    return [digits(rate / 1e9), f"{rate / peak:.0%}" if peak else ""]
