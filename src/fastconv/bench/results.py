"""What a run found, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fastconv.bench.cases import Case
from fastconv.bench.peers import OURS
from fastconv.bench.processes import Contestant
from fastconv.bench.statistics import Quartiles, paired_ratio, quartiles

__all__ = ["Measurement", "Problem", "Report", "fastest", "grouped", "thread_counts"]


@dataclass(frozen=True)
class Measurement:
    """The times of a contestant on a case.

    Attributes:
        turns: seconds of each round, one list a turn.
        peaks: multiplications and additions a second in registers directly behind each turn;
            fastconv's alone measure it.
        memory: seconds in which the same threads read the operands of an operation and write its
            results, once, and do nothing else, directly behind each turn; fastconv's alone measure
            it, and not where everything comes from memory.
        idle_share: processor time over wall time, a share of one processor, while others ran.
        peak_bytes: largest resident size of its process until then.
    """

    case: Case
    contestant: Contestant
    turns: list[list[float]]
    peaks: list[float]
    memory: list[float]
    idle_share: float
    peak_bytes: int

    @property
    def seconds(self) -> Quartiles:
        """Of a round, over all turns."""
        return quartiles([value for turn in self.turns for value in turn])

    @property
    def ours(self) -> bool:
        """Whether it is fastconv's."""
        return self.contestant.peer == OURS

    def speed_relative_to(self, other: Measurement) -> Quartiles:
        """How many times as fast as `other`: above 1 is faster."""
        return paired_ratio(other.turns, self.turns)


@dataclass(frozen=True)
class Problem:
    """Why a contestant has no times, or times that do not count.

    Attributes:
        kind: "mismatch" for results that differ from the reference, "failure" for anything else.
    """

    case: Case
    contestant: Contestant
    kind: Literal["mismatch", "failure"]
    message: str


@dataclass
class Report:
    """Everything that was found, in the order in which it was measured.

    Attributes:
        machine: facts about machine and software, by name.
        settings: what was asked for.
        missing: for each peer that is not installed the command that installs it.
        peak_flops: multiplications and additions a second in registers, for each number of
            threads; all measurements of the run.
    """

    machine: dict[str, str]
    settings: dict[str, Any]
    missing: dict[str, str] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    peak_flops: dict[int, list[float]] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether results differ, or fastconv itself could not do a case."""
        return any(p.kind == "mismatch" or p.contestant.peer == OURS for p in self.problems)

    def peak(self, threads: int) -> float:
        """Median of `peak_flops`; 0 if it was not measured."""
        return float(np.median(self.peak_flops.get(threads, [0.0])))

    def as_json(self) -> dict[str, Any]:
        """The report in types that JSON has, with medians of turns in place of every time."""
        return {
            "machine": self.machine,
            "settings": self.settings,
            "missing": self.missing,
            "peak_flops": {str(threads): self.peak(threads) for threads in self.peak_flops},
            "problems": [dataclasses.asdict(problem) for problem in self.problems],
            "measurements": [
                {
                    "case": dataclasses.asdict(m.case) | {"flops": m.case.flops},
                    "contestant": dataclasses.asdict(m.contestant),
                    "seconds": m.seconds._asdict(),
                    "rounds": sum(map(len, m.turns)),
                    "turn_medians": [float(np.median(turn)) for turn in m.turns],
                    "peaks": m.peaks,
                    "memory": m.memory,
                    "idle_share": m.idle_share,
                    "peak_bytes": m.peak_bytes,
                }
                for m in self.measurements
            ],
        }


def fastest(measurements: Iterable[Measurement], *, ours: bool) -> Measurement | None:
    """The least median among fastconv's, or among the peers'."""
    some = [m for m in measurements if m.ours == ours]
    return min(some, key=lambda m: m.seconds.median, default=None)


def grouped(report: Report) -> list[list[Measurement]]:
    """Measurements that ran against each other: of one case and allocator."""
    groups: dict[tuple[Case, str], list[Measurement]] = {}
    for m in report.measurements:
        groups.setdefault((m.case, m.contestant.malloc), []).append(m)
    return list(groups.values())


def thread_counts(group: Iterable[Measurement]) -> list[int]:
    """Those that occur, in order."""
    return sorted({m.contestant.threads for m in group})
