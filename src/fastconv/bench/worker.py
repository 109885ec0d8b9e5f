"""The process of one contestant: `python -m fastconv.bench.worker MODULE MODE THREADS`.

Reads a request a line from the standard input, writes a reply a line to the standard output, both
JSON, and sleeps in between. It ends with its input. Requests, and what the reply has:

- `{"do": "prepare", "case": {...}, "results": path, "warm_up": seconds}`: the results are in the
  file, and `seconds` is about what a call takes.
- `{"do": "run", "warm_up": m, "calls": n}`: `seconds`, a list, of a round in each of n calls that
  follow m calls that are not timed; `idle`, processor seconds of this process since its last reply,
  when it was to sleep.
- `{"do": "peak", "seconds": s}`: `flops`, multiplications and additions a second in registers.
- `{"do": "memory"}`: `peak_bytes`, the largest resident size so far.

A reply `{"error": message, "unsupported": bool}` takes the place of any.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
import traceback
from types import ModuleType
from typing import Any, TextIO

import numpy as np

from fastconv import _core
from fastconv.bench import data, models
from fastconv.bench.cases import Case
from fastconv.bench.job import Job
from fastconv.bench.layer_sets import find_layer

COLD_BYTES = 64 << 20
"""Inputs of a cold operation, together: more than caches hold."""


class Contestant:
    """A peer in one mode, in this process."""

    def __init__(self, module: str, mode: str, threads: int) -> None:
        self._mode = mode
        self._threads = threads
        self._peer: ModuleType = importlib.import_module(module)
        self._peer.configure(threads)
        self._job: Job | None = None
        self._processor_seconds = 0.0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request."""
        request = dict(request)
        handler = getattr(self, f"_{request.pop('do')}")
        reply: dict[str, Any] = handler(**request)
        self._processor_seconds = time.process_time()
        return reply

    def _prepare(self, case: dict[str, Any], results: str, warm_up: float) -> dict[str, Any]:
        # The last case's memory goes before this one's comes.
        self._job = None
        described = Case(**case)
        np.savez(results, *self._make(described, checked=True).results())
        self._job = self._make(described, checked=False)
        seconds: list[float] = []
        while len(seconds) < 2 or sum(seconds) < warm_up:
            seconds.append(self._timed(1)[0] * self._job.rounds)
        return {"seconds": float(np.median(seconds[len(seconds) // 2 :]))}

    def _make(self, case: Case, *, checked: bool) -> Job:
        """The case, with inputs for a comparison of results or for measuring."""
        batch, mode = case.batch, self._mode
        job: Job
        if case.task == "ops":
            layer = find_layer(case.subject)
            operands = data.operands(case.operation, layer, batch, integers=checked)
            job = self._peer.operate(case, operands, mode)
            if not case.cold or checked:
                return job
            copies = -(-COLD_BYTES // sum(array.nbytes for array in operands))
            return self._in_turn(case, operands, copies)
        network = models.network(case.subject, dropout=not checked)
        if case.task == "train":
            batches = data.training_batches(network.input_shape, network.classes, batch)
            job = self._peer.train(network, batches, mode)
        else:
            inputs = data.prediction_inputs(network.input_shape, batch)
            job = self._peer.predict(network, inputs, mode)
        return job

    def _in_turn(self, case: Case, operands: data.Operands, copies: int) -> Job:
        """The operation on each of many copies of its inputs."""
        sets = [data.Operands(*(array.copy() for array in operands)) for _ in range(copies)]
        jobs = [self._peer.operate(case, own, self._mode) for own in sets]
        number = -1

        def run() -> Any:
            nonlocal number
            number = (number + 1) % copies
            return jobs[number].run()

        return Job(run, jobs[0].results)

    def _run(self, warm_up: int, calls: int) -> dict[str, Any]:
        idle = time.process_time() - self._processor_seconds
        self._timed(warm_up)
        return {"seconds": self._timed(calls), "idle": idle}

    def _timed(self, calls: int) -> list[float]:
        """Seconds of a round in each of the calls."""
        assert self._job is not None
        run, rounds = self._job.run, self._job.rounds
        clock = time.perf_counter
        seconds = []
        for _ in range(calls):
            start = clock()
            run()
            seconds.append((clock() - start) / rounds)
        return seconds

    def _peak(self, seconds: float) -> dict[str, Any]:
        # Two operations each.
        rate = 2 * _core.multiply_adds_per_second(seconds, False, self._threads)
        return {"flops": rate}

    def _memory(self) -> dict[str, Any]:
        # Linux counts in kibibytes.
        return {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def serve(arguments: list[str], requests: TextIO, replies: TextIO) -> None:
    """Answer until the requests end."""
    module, mode, threads = arguments
    contestant: Contestant | None = None
    for line in requests:
        try:
            if contestant is None:
                contestant = Contestant(module, mode, int(threads))
            reply = contestant.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            unsupported = isinstance(error, NotImplementedError)
            message = f"{type(error).__name__}: {error}".partition("\n")[0]
            reply = {"error": message, "unsupported": unsupported}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def main() -> None:
    """Serve on the standard streams, with what libraries print sent to the standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.argv[1:], sys.stdin, replies)


if __name__ == "__main__":
    main()
