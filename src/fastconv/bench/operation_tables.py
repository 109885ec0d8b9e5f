"""What the tables of operations say: every layer of a set, sums, and where a peer is faster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from fastconv.bench.cases import KINDS, OPERATIONS
from fastconv.bench.comparisons import (
    MEMORY_BOUND,
    STEADY,
    Comparison,
    Memory,
    Scaling,
    Setting,
    Total,
    comparisons,
    divided,
    totals,
)
from fastconv.bench.layer_sets import LAYER_SETS, find_layer
from fastconv.bench.rendering import Table, capital, digits, ratio, time
from fastconv.bench.results import Report
from fastconv.bench.tables import rates
from fastconv.bench.traffic import traffic

__all__ = ["operation_tables", "summary_tables"]

SCALING_GOAL = 0.925
"""Of the number of threads: 1.85 with two."""

MEMORY_COLUMNS = ("moved", "GB/s", "memory", "of memory", "its scaling")


def operation_tables(report: Report) -> list[Table]:
    """A table for each set in each setting, by batch and operation, with sums."""
    parts = divided(comparisons(report), lambda c: (c.set_name, c.setting))
    return [_set_table(report, *key, part) for key, part in parts.items()]


def summary_tables(report: Report) -> list[Table]:
    """For each setting the sums of each kind of layers, who is slower, who scales too little."""
    tables = []
    for setting, part in divided(comparisons(report), lambda c: c.setting).items():
        with_peer = [c for c in part if c.peer is not None]
        for kind in KINDS:
            of_kind = [c for c in with_peer if c.kind == kind]
            if of_kind:
                tables.append(_totals_table(kind, setting, of_kind))
        if with_peer:
            tables.append(_slower_table(setting, with_peer))
        scaled = [(c.scaling, c) for c in part if c.scaling is not None]
        if scaled:
            tables.append(_scaling_table(report, setting, scaled))
    return tables


def _set_table(
    report: Report, set_name: str, setting: Setting, part: Sequence[Comparison]
) -> Table:
    scaled = any(c.scaling is not None for c in part)
    beside = any(c.peer is not None for c in part)
    columns = ["operation", "batch", "layer", "times", "fastconv", "GFLOP/s", "of peak"]
    columns += ["fastest peer", "its time", "speed"] if beside else []
    columns += ["scaling"] if scaled else []
    table = Table(
        capital(f"{LAYER_SETS[set_name].description}: {setting}"),
        columns,
        ("operation", "layer", "fastest peer"),
        ("fastest peer", "GFLOP/s", "times", "of peak", "its time"),
    )
    sums = totals(part)
    order = list(OPERATIONS)
    groups = divided(part, lambda c: (c.case.batch, c.case.operation))
    number = 0
    for batch, operation in sorted(groups, key=lambda key: (key[0], order.index(key[1]))):
        group = groups[batch, operation]
        rows = [_row(report, c, beside, scaled) for c in group]
        total = sums.get((set_name, batch, operation))
        if total is not None and total.count > 1:
            table.bold.add(number + len(rows))
            rows.append(_total_row(report, total, group, scaled))
        table.groups.append(list(rows))
        number += len(rows)
    if scaled:
        table.notes.append(
            f"scaling: time with 1 thread, at least 1 ms, over time with {setting.threads}"
        )
    return table


def _row(report: Report, c: Comparison, beside: bool, scaled: bool) -> list[str]:
    seconds = c.ours.seconds.median
    row = [c.case.operation, str(c.case.batch), c.case.subject, str(c.count), time(seconds)]
    row += rates(report, c.case.flops, seconds, c.setting.threads)
    if c.peer is None or c.speed is None:
        row += [""] * 3 * beside
    else:
        row += [c.peer.contestant.label, time(c.peer.seconds.median), ratio(c.speed)]
    if scaled:
        row.append("" if c.scaling is None else ratio(c.scaling.time))
    return row


def _total_row(
    report: Report, total: Total, group: Sequence[Comparison], scaled: bool
) -> list[str]:
    case, threads = group[0].case, group[0].setting.threads
    flops = sum(c.count * c.case.flops for c in group if c.peer is not None)
    return [
        *(case.operation, str(case.batch), "TOTAL", str(total.count), time(total.seconds)),
        *rates(report, flops, total.seconds, threads),
        *("", time(total.peer_seconds), f"{total.speed:.2f}x"),
        *([""] if scaled else []),
    ]


def _totals_table(kind: str, setting: Setting, part: Iterable[Comparison]) -> Table:
    columns = ["set", "batch", "operation", "layers", "fastconv", "fastest peers", "total"]
    columns += ["geometric mean", "slowest", "slowest layer"]
    words = ("set", "operation", "slowest layer")
    dispensable = ("layers", "fastest peers", "fastconv")
    table = Table(f"All {kind} of a set: {setting}", columns, words, dispensable)
    order = list(OPERATIONS)
    rows = {
        key: [
            *(key[0], str(key[1]), key[2], str(total.count)),
            *(time(total.seconds), time(total.peer_seconds), f"{total.speed:.2f}x"),
            f"{total.geometric_mean:.2f}x",
            *_slowest(total.worst),
        ]
        for key, total in totals(part).items()
    }
    in_order = sorted(rows, key=lambda key: (list(LAYER_SETS).index(key[0]), key[1]))
    for group in divided(in_order, lambda key: key[:2]).values():
        table.groups.append([rows[key] for key in sorted(group, key=lambda k: order.index(k[2]))])
    table.notes = [
        "total: time of all layers, each as often as it occurs, of the peers over fastconv's; "
        "geometric mean: of the speeds of different shapes"
    ]
    return table


def _slowest(worst: Comparison) -> tuple[str, str]:
    return ("" if worst.speed is None else ratio(worst.speed)), worst.case.subject


def _slower_table(setting: Setting, with_peer: Sequence[Comparison]) -> Table:
    """The losers, the worst first."""
    speeds = [(c.speed, c) for c in with_peer if c.speed is not None]
    losers = sorted((pair for pair in speeds if pair[0].median < 1), key=lambda p: p[0].median)
    columns = ["layer", "operation", "batch", "shape", "fastconv", "fastest peer", "its time"]
    table = Table(
        f"Slower than the peer, {len(losers)} of {len(speeds)}: {setting}",
        [*columns, "speed", "quartiles"],
        ("layer", "operation", "shape", "fastest peer"),
        ("fastest peer", "shape", "its time", "fastconv"),
    )
    rows: list[Sequence[str]] = [
        [
            *(c.case.subject, c.case.operation, str(c.case.batch)),
            *(find_layer(c.case.subject).shape, time(c.ours.seconds.median)),
            *(c.peer.contestant.label, time(c.peer.seconds.median)),
            *(ratio(speed), f"{speed.lower:.2f} - {speed.upper:.2f}"),
        ]
        for speed, c in losers
        if c.peer is not None
    ]
    table.groups = [rows]
    table.notes = [] if rows else ["none"]
    return table


def _scaling_table(
    report: Report, setting: Setting, scaled: Sequence[tuple[Scaling, Comparison]]
) -> Table:
    """Those that gain too little from more threads, the worst first; bound by memory: behind."""
    goal = SCALING_GOAL * setting.threads
    below = sorted((p for p in scaled if p[0].time.median < goal), key=lambda p: p[0].time.median)
    bound = [pair for pair in below if pair[0].memory_bound]
    title = f"Scaling below {goal:.2f}x, {len(below)} of {len(scaled)}"
    if bound:
        title += f", {len(bound)} of them bound by memory"
    title += f", median of all {median(scaling.time.median for scaling, _ in scaled):.2f}x"
    columns = ["layer", "operation", "batch", "shape", "fastconv", "scaling", "quartiles"]
    with_memory = any(scaling.memory is not None for scaling, _ in scaled)
    table = Table(
        f"{title}: {setting}",
        [*columns, *(MEMORY_COLUMNS if with_memory else ())],
        ("layer", "operation", "shape"),
        ("shape", "quartiles", "moved", "fastconv"),
    )
    peak = report.peak(setting.threads)
    table.notes = [
        f"scaling: time with 1 thread, at least 1 ms, over time with {setting.threads}, in turns "
        f"in which these had {STEADY:.0%} of their usual multiply-add peak; the peak's own is "
        f"{peak / report.peak(1):.2f}x"
    ]
    ours = [pair for pair in below if not pair[0].memory_bound]
    for group in filter(None, (ours, bound)):
        rows: list[Sequence[str]] = [
            [
                *(c.case.subject, c.case.operation, str(c.case.batch)),
                *(find_layer(c.case.subject).shape, time(c.ours.seconds.median)),
                *(ratio(scaling.time), f"{scaling.time.lower:.2f} - {scaling.time.upper:.2f}"),
                *(_memory_cells(c, scaling.memory) if with_memory else ()),
            ]
            for scaling, c in group
        ]
        table.groups.append(rows)
    if with_memory:
        table.notes.append(
            "moved: operands read once and results written once, and the operation's rate; memory: "
            f"the rate of {setting.threads} threads that move as much and do nothing else, "
            "directly behind it, the operation's share of that, and its scaling; from a share of "
            f"{MEMORY_BOUND:.0%} on: bound by memory"
        )
    return table


def _memory_cells(c: Comparison, memory: Memory | None) -> list[str]:
    if memory is None:
        return [""] * len(MEMORY_COLUMNS)
    moved = traffic(c.case).moved
    rates = (digits(moved / seconds / 1e9) for seconds in (c.ours.seconds.median, memory.seconds))
    return [
        f"{digits(moved / 1e6)} MB",
        *rates,
        f"{memory.share.median:.0%}",
        ratio(memory.scaling),
    ]
