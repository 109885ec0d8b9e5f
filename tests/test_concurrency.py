"""Threads, processes, and what a host must find unchanged."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import ops
from support.arrays import assert_same_bits, reals
from support.calls import Call, flat, valid_calls


def large_calls() -> list[Call]:
    """Calls with enough work for several threads."""
    x, kernel = reals(1, 12, 28, 28, 8), reals(2, 3, 3, 8, 16)
    grad, images = reals(3, 12, 26, 26, 16), reals(4, 12, 56, 56, 16)
    calls = [
        Call("conv2d", {"x": x, "kernel": kernel}),
        Call("conv2d_gradients", {"x": x, "kernel": kernel, "grad": grad}),
        Call("conv2d_max_pool2d", {"x": x, "kernel": kernel}, {"return_argmax": True}),
        Call("max_pool2d", {"x": images}, {"return_argmax": True}),
        Call("average_pool2d", {"x": images}),
        Call("matmul", {"a": reals(5, 300, 200), "b": reals(6, 200, 300)}),
        Call("softmax", {"x": reals(7, 4000, 100)}),
        Call("dropout", {"x": reals(8, 10**6)}, {"rate": 0.4, "seed": 5}),
        Call("relu", {"x": reals(9, 10**6)}),
    ]
    for call in calls:
        for name, array in call.arrays.items():
            call.arrays[name] = array.astype(np.float32)
    return calls


LARGE = large_calls()


@pytest.mark.parametrize("call", [*LARGE, *valid_calls()], ids=str)
def test_bits_do_not_depend_on_the_number_of_threads(call: Call) -> None:
    expected = flat(call.run(ops, num_threads=1))
    for count in (2, 3, 4, 7, 16):
        for actual, wanted in zip(flat(call.run(ops, num_threads=count)), expected, strict=True):
            assert_same_bits(actual, wanted, f"{count} threads")
    with fastconv.num_threads(5):
        for actual, wanted in zip(flat(call.run(ops)), expected, strict=True):
            assert_same_bits(actual, wanted, "5 threads by default")


def test_sixteen_threads_at_once() -> None:
    calls = [*LARGE, *valid_calls(), *valid_calls(np.float64)]
    expected = [flat(call.run(ops, num_threads=1)) for call in calls]
    start = threading.Barrier(16)

    def work(seed: int) -> int:
        start.wait()
        count = 0
        for index in np.random.default_rng(seed).permutation(2 * len(calls)) % len(calls):
            results = flat(calls[index].run(ops, num_threads=1 + seed % 3))
            for actual, wanted in zip(results, expected[index], strict=True):
                assert_same_bits(actual, wanted, str(calls[index]))
                count += 1
        return count

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(work, range(16)))
    assert counts == [2 * sum(map(len, expected))] * 16


@pytest.mark.parametrize("call", LARGE, ids=str)
def test_gil_is_released(call: Call) -> None:
    """While one thread computes, another runs Python.

    Python takes the GIL from nobody in this test, so that a call which keeps it would let the
    other thread go on only after its end.
    """
    repeated = {
        name: np.concatenate([array] * 8)
        for name, array in call.arrays.items()
        if name not in ("kernel", "b")
    }
    out = call.run(ops, **repeated)
    begun, events = threading.Event(), []

    def compute() -> None:
        begun.set()
        call.run(ops, **repeated, num_threads=1, **({"out": out} if takes_out else {}))
        events.append("computed")

    takes_out = not call.options.get("return_argmax")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        overtaken = 0
        for _ in range(10):
            begun.clear()
            events.clear()
            thread = threading.Thread(target=compute)
            thread.start()
            begun.wait()
            overtaken += not events
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    # The operating system may wake the waiting thread late; a call that keeps the GIL never fails
    # to be late.
    assert overtaken >= 1


def test_inputs_that_change_during_a_call() -> None:
    """Codes and labels are checked where they are used: a race gives an error, never a crash."""
    grad = np.ones((64, 16, 16, 8), np.float32)
    argmax = np.zeros(grad.shape, np.int64)
    logits, labels = np.zeros((20000, 10), np.float32), np.zeros(20000, np.int64)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            for value in (2**62, -(2**63), 0):
                argmax[...] = value
                labels[...] = value

    thread = threading.Thread(target=disturb)
    thread.start()
    outcomes = set()
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for call in (
                lambda: ops.max_pool2d_gradient(grad, argmax, (64, 32, 32, 8)),
                lambda: ops.softmax_cross_entropy(logits, labels),
            ):
                try:
                    call()
                    outcomes.add("result")
                except ValueError:
                    outcomes.add("error")
    finally:
        stop.set()
        thread.join()
    assert outcomes == {"result", "error"}


# --- processes ----------------------------------------------------------------------------------


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork() -> None:
    """A child of a process that computes on several threads, at any moment, computes as well."""
    result = run_script(
        """
        import os, signal, threading, warnings
        import numpy as np
        from fastconv import ops

        warnings.simplefilter("ignore", DeprecationWarning)  # about fork and threads: the subject
        x = np.random.default_rng(0).random((16, 28, 28, 8), np.float32)
        kernel = np.random.default_rng(1).random((3, 3, 8, 16), np.float32)
        small = np.ones(100, np.float32)
        expected = ops.conv2d(x, kernel, num_threads=2)
        stop = threading.Event()

        def compute():
            while not stop.is_set():
                ops.relu(small)
                ops.conv2d(x[:2], kernel, num_threads=2)

        threads = [threading.Thread(target=compute) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(40):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                y = ops.conv2d(x, kernel, num_threads=2)
                os._exit(0 if np.array_equal(y, expected) else 3)
            _, status = os.waitpid(child, 0)
            assert status == 0, status
        stop.set()
        for thread in threads:
            thread.join()
        assert np.array_equal(ops.conv2d(x, kernel, num_threads=2), expected)
        print("done")
        """
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_processes(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    call = LARGE[0]
    expected = call.run(ops)
    with multiprocessing.get_context(method).Pool(1) as pool:
        actual = pool.apply(ops.conv2d, (call.arrays["x"], call.arrays["kernel"]))
    assert_same_bits(actual, expected)


def test_more_threads_than_anyone_has() -> None:
    """Where the system gives no more threads, those that there are do the work."""
    result = run_script(
        """
        import numpy as np
        import fastconv
        from fastconv import ops

        a = np.ones((2000, 1000), np.float32)
        expected = ops.matmul(a, a, transpose_b=True, num_threads=1)
        for count in (100, 10_000, 2**31 - 1):
            y = ops.matmul(a, a, transpose_b=True, num_threads=count)
            assert np.array_equal(y, expected)
            with fastconv.num_threads(count):
                y = ops.matmul(a, a, transpose_b=True)
            assert np.array_equal(y, expected)
        print("done")
        """
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


# --- the host -----------------------------------------------------------------------------------


def test_the_host_stays_as_it_is() -> None:
    def state() -> dict[str, Any]:
        smallest = np.float32(1e-45)
        third = np.float64(1) / np.float64(3)
        return {
            "denormals": (smallest * np.float32(1)).tobytes(),
            "rounding": (third.tobytes(), (-third).tobytes(), (np.float32(0.1) * 3).tobytes()),
            "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
            "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGFPE)],
            "environment": dict(os.environ),
            "errors": np.geterr(),
            "directory": os.getcwd(),
        }

    before = state()
    assert np.frombuffer(before["denormals"], np.float32).item() > 0
    for call in [*LARGE, *valid_calls()]:
        call.run(ops, num_threads=2)
    assert state() == before


def test_errors_in_other_threads() -> None:
    """A refusal in one thread is the business of that thread."""
    x, kernel = LARGE[0].arrays["x"], LARGE[0].arrays["kernel"]
    expected = ops.conv2d(x, kernel)

    def work(index: int) -> str:
        if index % 2:
            with pytest.raises(ValueError, match="kernel"):
                ops.conv2d(x, kernel[:, :, :3])
            return "refused"
        assert_same_bits(ops.conv2d(x, kernel), expected)
        return "computed"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(work, range(64)))
    assert outcomes == ["computed", "refused"] * 32
