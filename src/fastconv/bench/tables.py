"""What the tables of a report say."""

from __future__ import annotations

from collections.abc import Sequence

from fastconv.bench.cases import COLD
from fastconv.bench.layer_sets import LAYER_SETS
from fastconv.bench.processes import thread_words
from fastconv.bench.rendering import Table, capital, digits, middle_half, ratio, time
from fastconv.bench.results import Measurement, Report, fastest, grouped, thread_counts

__all__ = ["case_tables", "operation_tables", "remarks", "setting"]

IDLE_LIMIT = 0.02
"""Of a processor: above it a contestant disturbs the others while it waits."""

BUSY_LOAD = 0.25
"""Programs that run or want to, for each processor."""


def case_tables(report: Report) -> list[Table]:
    """For each case and allocator all contestants, by threads, the fastest first."""
    return [_case_table(report, group) for group in grouped(report)]


def operation_tables(report: Report) -> list[Table]:
    """For each number of threads and allocator, fastconv beside the fastest peer on every case."""
    tables: dict[tuple[int, str, bool], Table] = {}
    for group in _of_operations(report):
        for threads in thread_counts(group):
            here = [m for m in group if m.contestant.threads == threads]
            ours, peer = fastest(here, ours=True), fastest(here, ours=False)
            if ours is None:
                continue
            key = threads, group[0].contestant.malloc, group[0].case.cold
            if key not in tables:
                tables[key] = _operations_table(*key)
            case = ours.case
            row = [case.subject, case.operation, str(case.batch), time(ours.seconds.median)]
            row += _rates(report, ours)
            if peer is None:
                row += ["", "", ""]
            else:
                row += [_who(peer), time(peer.seconds.median), ratio(ours.speed_relative_to(peer))]
            table = tables[key]
            if table.groups and table.groups[-1][0][0] == case.subject:
                table.groups[-1].append(row)
            else:
                table.groups.append([row])
    for (threads, malloc, _), table in tables.items():
        table.notes += _totals(report, threads, malloc) + setting(report)
    return list(tables.values())


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
    idle: dict[str, float] = {}
    for m in report.measurements:
        idle[str(m.contestant)] = max(idle.get(str(m.contestant), 0), m.idle_share)
    lines += [
        f"{contestant} used {share:.0%} of a processor while others were measured"
        for contestant, share in idle.items()
        if share > IDLE_LIMIT
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
                table.ours.add(number)
            number += 1
            rows.append(
                [
                    m.contestant.description.title,
                    m.contestant.mode,
                    str(threads),
                    time(m.seconds.median),
                    middle_half(m.seconds),
                    *_rates(report, m),
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


def _operations_table(threads: int, malloc: str, cold: bool) -> Table:
    title = f"Operations, {thread_words(threads)}, malloc {malloc}{COLD if cold else ''}"
    columns = ["layer", "operation", "batch", "fastconv", "GFLOP/s", "of peak"]
    words = ("layer", "operation", "fastest peer")
    dispensable = ("GFLOP/s", "batch", "its time", "fastest peer")
    return Table(title, [*columns, "fastest peer", "its time", "speed"], words, dispensable)


def _totals(report: Report, threads: int, malloc: str) -> list[str]:
    """Each operation in all convolutions of a network, which has some shapes several times."""
    lines = []
    groups = [group for group in _of_operations(report) if group[0].contestant.malloc == malloc]
    for layer_set in LAYER_SETS.values():
        counts = {layer.name: getattr(layer, "count", 1) for layer in layer_set.layers}
        sums: dict[tuple[str, int], list[float]] = {}
        for group in groups:
            case = group[0].case
            here = [m for m in group if m.contestant.threads == threads]
            ours, peer = fastest(here, ours=True), fastest(here, ours=False)
            count = counts.get(case.subject, 0)
            if not layer_set.network or not count or ours is None or peer is None:
                continue
            total = sums.setdefault((case.operation, case.batch), [0, 0.0, 0.0])
            total[0] += count
            total[1] += count * ours.seconds.median
            total[2] += count * peer.seconds.median
        lines += [
            f"{layer_set.description}, batch {batch}, {operation} of {layers:.0f} convolutions: "
            f"fastconv {time(ours)}, each one's fastest peer {time(peer)}, {peer / ours:.2f}x"
            for (operation, batch), (layers, ours, peer) in sums.items()
        ]
    return lines


def _of_operations(report: Report) -> list[list[Measurement]]:
    return [group for group in grouped(report) if group[0].case.task == "ops"]


def _rates(report: Report, m: Measurement) -> list[str]:
    """Effective GFLOP/s, by the dense rule, and their share of the peak of as many threads."""
    flops = m.case.flops
    if not flops:
        return ["", ""]
    rate = flops / m.seconds.median
    peak = report.peak(m.contestant.threads)
    return [digits(rate / 1e9), f"{rate / peak:.0%}" if peak else ""]


def _who(m: Measurement) -> str:
    return f"{m.contestant.description.title}, {m.contestant.mode}"
