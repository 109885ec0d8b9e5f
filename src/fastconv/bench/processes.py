"""Processes for contestants: their environment, and a line each way."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastconv.bench.peers import PEERS, Peer

__all__ = [
    "ISA_ENVIRONMENTS",
    "MALLOC_ENVIRONMENTS",
    "Contestant",
    "Worker",
    "WorkerError",
    "thread_words",
]

MALLOC_ENVIRONMENTS: dict[str, dict[str, str]] = {
    "default": {},
    # glibc gives large blocks back to the system at once, and pays for every page anew. This makes
    # it keep them. Values are bytes.
    "tuned": {
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "8589934592",
        "MALLOC_TOP_PAD_": "268435456",
    },
}

ISA_ENVIRONMENTS: dict[str, dict[str, str]] = {
    "avx512": {"FASTCONV_ISA": "avx512"},
    "avx2": {
        "FASTCONV_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "x86_64_v2": {
        "FASTCONV_ISA": "x86_64_v2",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}
"""What holds fastconv and the libraries to a level."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    # XLA's pool.
    "NPROC",
)

ANSWER_SECONDS = 900.0
"""Compilers may take minutes."""


@dataclass(frozen=True)
class Contestant:
    """A peer in one mode, with so many threads, on an allocator."""

    peer: str
    mode: str
    threads: int
    malloc: str

    @property
    def description(self) -> Peer:
        """The row of the peer in `PEERS`."""
        return PEERS[self.peer]

    @property
    def label(self) -> str:
        """Library and mode."""
        return f"{self.description.title}, {self.mode}"

    def __str__(self) -> str:
        title, threads = self.description.title, thread_words(self.threads)
        return f"{title} ({self.mode}), {threads}, malloc {self.malloc}"


def thread_words(count: int) -> str:
    """A number of threads, in words."""
    return "1 thread" if count == 1 else f"{count} threads"


class WorkerError(Exception):
    """A contestant could not do what it was asked to.

    Attributes:
        unsupported: because its library or mode has no such thing, which is no fault.
    """

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


class Worker:
    """The process of a contestant. It sleeps unless it has a request to answer."""

    def __init__(self, contestant: Contestant, isa: str | None = None) -> None:
        self.contestant = contestant
        peer = contestant.description
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - until close
        self._unread = b""
        arguments = [peer.module, contestant.mode, str(contestant.threads)]
        self._process = subprocess.Popen(
            # -P: modules of the working directory must not hide those of libraries.
            [sys.executable, "-P", "-m", "fastconv.bench.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(contestant, isa),
            # Ctrl-C reaches the parent alone, which ends its workers in order.
            start_new_session=True,
        )
        hold_to_processors(self._process.pid, contestant.threads)

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Send a request of `worker` and wait for the reply.

        Raises:
            WorkerError: the reply is an error, the process ended, or did not answer in time.
        """
        self.send(request)
        return self.receive(seconds)

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request, whose reply must be received before the next one."""
        assert self._process.stdin is not None
        # Whoever waits for the reply is told that there is no process.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The reply to what was sent.

        Raises:
            WorkerError: as `ask`.
        """
        reply: dict[str, Any] = json.loads(self._read_line(time.monotonic() + seconds))
        if "error" in reply:
            raise WorkerError(reply["error"], unsupported=reply["unsupported"])
        return reply

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _read_line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                self._process.kill()
                raise WorkerError("no answer in time")
            received = os.read(descriptor, 1 << 16)
            if not received:
                raise self._died()
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _died(self) -> WorkerError:
        """The error for a process that is gone, with the end of what it said."""
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return WorkerError(f"its process ended with {code}: {' | '.join(lines[-3:])}")


def environment(contestant: Contestant, isa: str | None) -> dict[str, str]:
    """The variables of a contestant's process."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    held = {} if isa is None else ISA_ENVIRONMENTS[isa]
    threads = dict.fromkeys(THREAD_VARIABLES, str(contestant.threads))
    malloc = MALLOC_ENVIRONMENTS[contestant.malloc]
    return kept | threads | malloc | held | dict(contestant.description.environment)


def hold_to_processors(pid: int, threads: int) -> None:
    """Keep a process, and what it starts, on as many processors as it may have threads.

    So nobody gets more than was asked for, by threads beside those that are counted.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(pid, allowed[:threads])
