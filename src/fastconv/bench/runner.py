"""Measure cases: a process for each contestant, one of them at work at a time, in turn."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fastconv import config
from fastconv.bench import checks
from fastconv.bench.cases import Case, Task
from fastconv.bench.peers import EXACT, OURS
from fastconv.bench.processes import Contestant, Worker, WorkerError
from fastconv.bench.results import Measurement, Problem, Report
from fastconv.bench.traffic import traffic

__all__ = ["EFFORTS", "QUICK", "Effort", "Runner"]

MINIMUM_TURNS = 3
"""However slow a contestant is."""

NETWORK_REFERENCE = Contestant("numpy", "float64 sums", 1, "default")
OPERATION_REFERENCE = Contestant(OURS, EXACT, config.get_num_threads(), "tuned")
"""Convolutions of large networks take NumPy minutes. This takes direct sums in float64; that they
are those of the NumPy reference is tested with the package, and a fault in them would show as a
difference from the peers, NumPy among them."""

MOST_CALLS = 2000
"""In a turn, whose times come as text."""


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        turns: how often it is everyone's turn.
        turn_seconds: about how long a turn of one contestant lasts.
        warm_up_seconds: how long each contestant runs before the first turn.
        budget_seconds: a contestant whose turns add up to more gets no more of them.
        rest_seconds: at most, between the turns of two: threads that spin for a while when they
            have no work must have gone to sleep.
    """

    turns: int
    turn_seconds: float
    warm_up_seconds: float
    budget_seconds: float
    rest_seconds: float = 0.05


EFFORTS: dict[Task, Effort] = {
    "train": Effort(15, 0.2, 0.5, 30.0),
    "predict": Effort(15, 0.2, 0.5, 30.0),
    # There are hundreds of them.
    "ops": Effort(9, 0.025, 0.03, 0.4),
}

QUICK = Effort(3, 0.01, 0.0, 30.0, 0.0)
"""Enough to see that everything works; not to learn how fast it is."""


@dataclass(eq=False)
class _Entry:
    """A contestant on the current case; `seconds` is about what a call takes."""

    worker: Worker
    seconds: float
    turns: list[list[float]]
    peaks: list[float]
    memory: list[float]
    idle_seconds: float = 0.0
    waited_since: float = 0.0
    waited_seconds: float = 0.0
    used_seconds: float = 0.0


class Runner:
    """Fills a report.

    Args:
        report: gets measurements, problems and peaks.
        isa: level to hold everyone to, or None.
        notify: is told what is going on.
    """

    def __init__(self, report: Report, isa: str | None, notify: Callable[[str], None]) -> None:
        self._report = report
        self._isa = isa
        self._notify = notify

    def run(self, cases: Sequence[Case], contestants: Sequence[Contestant], effort: Effort) -> None:
        """Measure all of these against each other, whether or not they share peer or threads.

        All cases are of one task.
        """
        operations = bool(cases) and cases[0].task == "ops"
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

            def start(contestant: Contestant, isa: str | None) -> Worker:
                worker = Worker(contestant, isa)
                stack.callback(worker.close)
                return worker

            reference = start(OPERATION_REFERENCE if operations else NETWORK_REFERENCE, None)
            workers = [start(contestant, self._isa) for contestant in contestants]
            for number, case in enumerate(cases, 1):
                title = f"{number} of {len(cases)}, {case.title}"
                self._notify(f"{title}: results are compared")
                entries = self._enter(case, workers, reference, folder, effort)
                self._measure(case, title, entries, effort)

    def _enter(
        self,
        case: Case,
        workers: Sequence[Worker],
        reference: Worker,
        folder: Path,
        effort: Effort,
    ) -> list[_Entry]:
        """Have all prepare and compare their results: those that can take part."""
        everyone = [reference, *workers]
        paths = [folder / f"{number}.npz" for number in range(len(everyone))]
        for worker, path in zip(everyone, paths, strict=True):
            request = {"case": dataclasses.asdict(case), "results": str(path)}
            worker.send({"do": "prepare", **request})
        reference.receive()
        expected = checks.load_results(paths[0])
        equal = []
        for worker, path in zip(workers, paths[1:], strict=True):
            try:
                worker.receive()
            except WorkerError as error:
                if not error.unsupported:
                    self._problem(Problem(case, worker.contestant, "failure", str(error)))
                continue
            found = checks.difference(case.task, expected, checks.load_results(path))
            if found is None:
                equal.append(worker)
            else:
                self._problem(Problem(case, worker.contestant, "mismatch", found))
        # Nobody is at work any more.
        entries = []
        for worker in equal:
            try:
                reply = worker.ask({"do": "warm_up", "seconds": effort.warm_up_seconds})
                worker.ask({"do": "rest", "seconds": effort.rest_seconds})
            except WorkerError as error:
                self._problem(Problem(case, worker.contestant, "failure", str(error)))
            else:
                waited_since = time.monotonic()
                entries.append(
                    _Entry(worker, reply["seconds"], [], [], [], waited_since=waited_since)
                )
        return entries

    def _measure(self, case: Case, title: str, entries: list[_Entry], effort: Effort) -> None:
        """Take turns, and put what was measured into the report."""
        before: Worker | None = None
        for turn in range(effort.turns):
            self._notify(f"{title}: turn {turn + 1} of {effort.turns}")
            # There and back, so that nobody always follows the same one.
            for entry in list(entries) if turn % 2 == 0 else entries[::-1]:
                if turn >= MINIMUM_TURNS and entry.used_seconds > effort.budget_seconds:
                    continue
                try:
                    others_ran = before not in (None, entry.worker)
                    if before is not None and others_ran:
                        before.ask({"do": "rest", "seconds": effort.rest_seconds})
                    before = entry.worker
                    self._take_turn(case, entry, effort, others_ran=others_ran)
                except WorkerError as error:
                    contestant = entry.worker.contestant
                    self._problem(Problem(case, contestant, "failure", str(error)))
                    entries.remove(entry)
                    before = None
        self._report.measurements += [self._measurement(case, entry) for entry in entries]

    def _take_turn(self, case: Case, entry: _Entry, effort: Effort, *, others_ran: bool) -> None:
        calls = min(max(1, round(effort.turn_seconds / entry.seconds)), MOST_CALLS)
        # Caches and clocks after the rest; too short to matter where a call is long.
        warm_up = 1 + calls // 10 if entry.seconds < effort.turn_seconds else 0
        start = time.monotonic()
        reply = entry.worker.ask({"do": "run", "warm_up": warm_up, "calls": calls})
        entry.turns.append(reply["seconds"])
        if others_ran:
            entry.idle_seconds += reply["idle"]
            entry.waited_seconds += start - entry.waited_since
        contestant = entry.worker.contestant
        if contestant.peer == OURS:
            # The speed of the processor itself, for each number of threads.
            seconds = effort.turn_seconds / 8
            reply = entry.worker.ask({"do": "peak", "seconds": seconds})
            entry.peaks.append(float(reply["flops"]))
            self._report.peak_flops.setdefault(contestant.threads, []).append(entry.peaks[-1])
            if case.task == "ops" and not case.cold:
                request = {"do": "move", **traffic(case)._asdict(), "seconds": seconds}
                entry.memory.append(float(entry.worker.ask(request)["seconds"]))
        entry.waited_since = time.monotonic()
        entry.used_seconds += entry.waited_since - start

    def _measurement(self, case: Case, entry: _Entry) -> Measurement:
        return Measurement(
            case,
            entry.worker.contestant,
            entry.turns,
            entry.peaks,
            entry.memory,
            entry.idle_seconds / entry.waited_seconds if entry.waited_seconds else 0.0,
            int(entry.worker.ask({"do": "memory"})["peak_bytes"]),
        )

    def _problem(self, problem: Problem) -> None:
        self._report.problems.append(problem)
