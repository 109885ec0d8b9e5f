"""Measure cases: a process for each contestant, one of them at work at a time, in turn."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fastconv.bench import checks
from fastconv.bench.cases import Case
from fastconv.bench.peers import OURS
from fastconv.bench.processes import Contestant, Worker, WorkerError
from fastconv.bench.results import Measurement, Problem, Report

__all__ = ["Effort", "Runner"]

MINIMUM_TURNS = 3
"""However slow a contestant is."""

REFERENCE = Contestant("numpy", "float64 sums", 1, "default")


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        turns: how often it is everyone's turn.
        turn_seconds: about how long a turn of one contestant lasts.
        warm_up_seconds: how long each contestant runs before the first turn.
        budget_seconds: a contestant whose turns add up to more gets no more of them.
        pause_seconds: between turns; threads that spin for a while when they have no work must have
            gone to sleep.
    """

    turns: int = 15
    turn_seconds: float = 0.2
    warm_up_seconds: float = 0.5
    budget_seconds: float = 30.0
    pause_seconds: float = 0.02


QUICK = Effort(turns=3, turn_seconds=0.01, warm_up_seconds=0.0, pause_seconds=0.0)
"""Enough to see that everything works; not to learn how fast it is."""


@dataclass(eq=False)
class _Entry:
    """A contestant on the current case; `seconds` is about what a call takes."""

    worker: Worker
    seconds: float
    turns: list[list[float]]
    idle_seconds: float = 0.0
    waited_since: float = 0.0
    waited_seconds: float = 0.0
    used_seconds: float = 0.0


class Runner:
    """Fills a report.

    Args:
        report: gets measurements, problems and peaks.
        effort: how much to measure.
        isa: level to hold everyone to, or None.
        notify: is told what is going on.
    """

    def __init__(
        self, report: Report, effort: Effort, isa: str | None, notify: Callable[[str], None]
    ) -> None:
        self._report = report
        self._effort = effort
        self._isa = isa
        self._notify = notify

    def run(self, cases: Sequence[Case], contestants: Sequence[Contestant]) -> None:
        """Measure all of these against each other, whether or not they share peer or threads."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

            def start(contestant: Contestant) -> Worker:
                worker = Worker(contestant, self._isa)
                stack.callback(worker.close)
                return worker

            reference = start(REFERENCE)
            workers = [start(contestant) for contestant in contestants]
            for case in cases:
                self._measure(case, workers, reference, folder / "results.npz")

    def _measure(
        self, case: Case, workers: Sequence[Worker], reference: Worker, path: Path
    ) -> None:
        self._notify(f"{case.title}: reference")
        self._prepare(reference, case, path, warm_up=0.0)
        expected = checks.load_results(path)
        entries = []
        for worker in workers:
            self._notify(f"{case.title}: preparing {worker.contestant}")
            entry = self._enter(worker, case, path, expected)
            if entry is not None:
                entries.append(entry)
        for turn in range(self._effort.turns):
            self._notify(f"{case.title}: turn {turn + 1} of {self._effort.turns}")
            # There and back, so that nobody always follows the same one.
            for entry in list(entries) if turn % 2 == 0 else entries[::-1]:
                try:
                    self._take_turn(entry, turn)
                except WorkerError as error:
                    contestant = entry.worker.contestant
                    self._problem(Problem(case, contestant, "failure", str(error)))
                    entries.remove(entry)
            self._measure_peak(entries)
        self._report.measurements += [self._measurement(case, entry) for entry in entries]

    def _prepare(self, worker: Worker, case: Case, path: Path, warm_up: float) -> float:
        request = {"case": dataclasses.asdict(case), "results": str(path), "warm_up": warm_up}
        return float(worker.ask({"do": "prepare", **request})["seconds"])

    def _enter(
        self, worker: Worker, case: Case, path: Path, expected: list[npt.NDArray[Any]]
    ) -> _Entry | None:
        """Have a contestant prepare, and check its results; None if it cannot take part."""
        try:
            seconds = self._prepare(worker, case, path, self._effort.warm_up_seconds)
        except WorkerError as error:
            if not error.unsupported:
                self._problem(Problem(case, worker.contestant, "failure", str(error)))
            return None
        found = checks.difference(case.task, expected, checks.load_results(path))
        if found is not None:
            self._problem(Problem(case, worker.contestant, "mismatch", found))
            return None
        return _Entry(worker, seconds, [], waited_since=time.monotonic())

    def _take_turn(self, entry: _Entry, turn: int) -> None:
        effort = self._effort
        if turn >= MINIMUM_TURNS and entry.used_seconds > effort.budget_seconds:
            return
        time.sleep(effort.pause_seconds)
        calls = max(1, round(effort.turn_seconds / entry.seconds))
        # Caches and clocks after the pause; too short to matter where a call is long.
        warm_up = 1 + calls // 10 if entry.seconds < effort.turn_seconds else 0
        start = time.monotonic()
        reply = entry.worker.ask({"do": "run", "warm_up": warm_up, "calls": calls})
        entry.turns.append(reply["seconds"])
        entry.idle_seconds += reply["idle"]
        entry.waited_seconds += start - entry.waited_since
        entry.waited_since = time.monotonic()
        entry.used_seconds += entry.waited_since - start

    def _measure_peak(self, entries: Sequence[_Entry]) -> None:
        """The speed of the processor itself, for each number of threads."""
        measured = set()
        for entry in entries:
            contestant = entry.worker.contestant
            if contestant.peer == OURS and contestant.threads not in measured:
                measured.add(contestant.threads)
                request = {"do": "peak", "seconds": self._effort.turn_seconds / 4}
                flops = float(entry.worker.ask(request)["flops"])
                self._report.peak_flops.setdefault(contestant.threads, []).append(flops)

    def _measurement(self, case: Case, entry: _Entry) -> Measurement:
        return Measurement(
            case,
            entry.worker.contestant,
            entry.turns,
            entry.idle_seconds / entry.waited_seconds if entry.waited_seconds else 0.0,
            int(entry.worker.ask({"do": "memory"})["peak_bytes"]),
        )

    def _problem(self, problem: Problem) -> None:
        self._report.problems.append(problem)
