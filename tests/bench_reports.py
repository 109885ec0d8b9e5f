"""Reports of `fastconv bench` as if something had been measured."""

from __future__ import annotations

from collections.abc import Sequence

from fastconv.bench.cases import Case
from fastconv.bench.peers import PEERS
from fastconv.bench.processes import Contestant
from fastconv.bench.results import Measurement, Report

PREDICTION = Case("predict", "m1", 128)


def measured(
    peer: str,
    seconds: float,
    threads: int = 1,
    case: Case = PREDICTION,
    peaks: Sequence[float] = (1e9, 1e9),
    memory: Sequence[float] = (),
) -> Measurement:
    """Two turns of three rounds."""
    contestant = Contestant(peer, PEERS[peer].modes[case.task][0], threads, "tuned")
    return Measurement(case, contestant, [[seconds] * 3] * 2, list(peaks), list(memory), 0.0, 2**20)


def report_of(*measurements: Measurement) -> Report:
    machine = dict.fromkeys(("processor", "isa", "system", "libc", "python", "versions"), "-")
    machine |= {"processors": "2", "load": "0.10", "date": "-"}
    return Report(machine, {"command": "-"}, {}, list(measurements), [], {1: [1e9, 2e9, 9e9]})
