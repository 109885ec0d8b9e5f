"""The process of one contestant: `python -m fastconv.bench.worker MODULE MODE THREADS`.

Reads a request a line from the standard input, writes a reply a line to the standard output, both
JSON, and sleeps in between. It ends with its input. Requests, and what the reply has:

- `{"do": "prepare", "case": {...}, "results": path}`: the results are in the file; the only request
  that several contestants work on at the same time.
- `{"do": "warm_up", "seconds": s}`: `seconds` is about what a call takes.
- `{"do": "run", "warm_up": m, "calls": n}`: `seconds`, a list, of a round in each of n calls that
  follow m calls that are not timed; `idle`, processor seconds of this process since its last reply,
  when it was to sleep.
- `{"do": "rest", "seconds": s}`: an empty one when no thread of this process runs any more (threads
  may spin when they have no work left), at most so much later.
- `{"do": "peak", "seconds": s}`: `flops`, multiplications and additions a second in registers.
- `{"do": "move", "read": r, "written": w, "seconds": s}`: `seconds` in which the threads read r and
  write w bytes and do nothing else.
- `{"do": "memory"}`: `peak_bytes`, the largest resident size so far.

A reply `{"error": message, "unsupported": bool}` takes the place of any.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import threading
import time
import traceback
from collections import deque
from functools import partial
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from fastconv import _core
from fastconv.bench import data, models
from fastconv.bench.cases import Case
from fastconv.bench.job import Job
from fastconv.bench.layer_sets import find_layer
from fastconv.bench.traffic import FLOAT

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
        self._moved: dict[tuple[int, int], list[npt.NDArray[np.float32]]] = {}
        self._processor_seconds = 0.0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request."""
        request = dict(request)
        handler = getattr(self, f"_{request.pop('do')}")
        reply: dict[str, Any] = handler(**request)
        self._processor_seconds = time.process_time()
        return reply

    def _prepare(self, case: dict[str, Any], results: str) -> dict[str, Any]:
        # The last case's memory goes before this one's comes.
        self._job = None
        self._moved.clear()
        described = Case(**case)
        np.savez(results, *self._make(described, checked=True).results())
        self._job = self._make(described, checked=False)
        return {}

    def _warm_up(self, seconds: float) -> dict[str, Any]:
        assert self._job is not None
        found: list[float] = []
        while len(found) < 2 or sum(found) < seconds:
            found.append(self._timed(1)[0] * self._job.rounds)
        return {"seconds": float(np.median(found[len(found) // 2 :]))}

    def _make(self, case: Case, *, checked: bool) -> Job:
        """The case, with inputs for a comparison of results or for measuring."""
        batch, mode = case.batch, self._mode
        job: Job
        if case.task == "ops":
            layer = find_layer(case.subject)
            make = partial(data.operands, case.operation, layer, batch, integers=checked)
            if case.cold and not checked:
                return self._in_turn(case, make())
            job = self._peer.operate(case, make, mode)
            return job
        network = models.network(case.subject, dropout=not checked)
        if case.task == "train":
            batches = data.training_batches(network.input_shape, network.classes, batch)
            job = self._peer.train(network, batches, mode)
        else:
            inputs = data.prediction_inputs(network.input_shape, batch)
            job = self._peer.predict(network, inputs, mode)
        return job

    def _in_turn(self, case: Case, operands: data.Operands) -> Job:
        """The operation on each of many copies of its inputs, into as many results."""
        copies = -(-COLD_BYTES // sum(array.nbytes for array in operands))

        def job(number: int) -> Job:
            own = operands if number == 0 else data.Operands(*(array.copy() for array in operands))
            made: Job = self._peer.operate(case, lambda: own, self._mode)
            return made

        jobs = [job(number) for number in range(copies)]
        # Kept until all others have been written: a new one takes the memory of the oldest.
        results = deque((one.run() for one in jobs), maxlen=copies)
        following = cycle(jobs)
        return Job(lambda: results.append(next(following).run()), jobs[0].results)

    def _rest(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while others_run() and time.monotonic() < end:
            time.sleep(2e-4)
        return {}

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

    def _move(self, read: int, written: int, seconds: float) -> dict[str, Any]:
        # Written before they are used: pages that never were share one of zeros.
        if (read, written) not in self._moved:
            sizes = (read // FLOAT, written // FLOAT)
            self._moved[read, written] = [np.ones(size, np.float32) for size in sizes]
        x, y = self._moved[read, written]
        return {"seconds": _core.seconds_of_memory(x, y, seconds, self._threads)}

    def _memory(self) -> dict[str, Any]:
        # Linux counts in kibibytes.
        return {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def others_run() -> bool:
    """Whether other threads of this process run or want to; True where nobody can tell."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return True
    own = str(threading.get_native_id())
    for task in tasks.iterdir():
        # The state follows the name, which is in parentheses and may have any character.
        with contextlib.suppress(FileNotFoundError):
            state = (task / "stat").read_text(errors="replace").rpartition(") ")[2][:1]
            if state == "R" and task.name != own:
                return True
    return False


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
