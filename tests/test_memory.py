"""Results live on pooled blocks: given out, given back, bounded, and never leaked."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import _core, ops
from support.calls import Call, flat, valid_calls

CALLS = valid_calls()
MIB = 2**20


def used_blocks() -> int:
    gc.collect()
    return fastconv.cache_info().used_blocks


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_results_are_given_back(call: Call) -> None:
    before = used_blocks()
    results = flat(call.run(ops))
    assert used_blocks() == before + len(results)
    del results
    assert used_blocks() == before


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_out_takes_no_block(call: Call) -> None:
    results = call.run(ops)
    before, misses = used_blocks(), fastconv.cache_info().misses
    call.run(ops, out=results)
    assert used_blocks() == before
    again = fastconv.cache_info().misses
    call.run(ops, out=results)
    assert fastconv.cache_info().misses == again, "scratch memory is not reused"
    assert again >= misses


def test_a_block_is_used_again() -> None:
    x = np.ones(1000, np.float32)
    first = ops.relu(x)
    address = first.ctypes.data
    del first
    before = fastconv.cache_info()
    second = ops.relu(x)
    assert second.ctypes.data == address
    after = fastconv.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
    assert after.cached_blocks == before.cached_blocks - 1


def test_views_keep_a_block_alive() -> None:
    before = used_blocks()
    y = ops.relu(np.arange(100, dtype=np.float32))
    view = y[10:20].reshape(2, 5).T
    del y
    assert used_blocks() == before + 1
    others = [ops.relu(np.full(100, -1, np.float32)) for _ in range(10)]
    assert view.T.ravel().tolist() == list(range(10, 20))
    del others
    exported = memoryview(view)
    del view
    assert used_blocks() == before + 1
    assert exported[0, 1] == 15
    exported.release()
    del exported
    assert used_blocks() == before


def test_blocks_are_aligned() -> None:
    for size in (1, 3, 100, 5000, 10**6):
        assert _core.empty((size,), np.dtype(np.float32)).ctypes.data % 64 == 0


def test_clear_cache() -> None:
    kept = ops.relu(np.ones(1000, np.float32))
    ops.relu(np.ones(1000, np.float32))
    used = used_blocks()
    assert fastconv.cache_info().cached_blocks > 0
    fastconv.clear_cache()
    info = fastconv.cache_info()
    assert (info.cached_bytes, info.cached_blocks) == (0, 0)
    assert info.used_blocks == used
    assert (kept == 1).all()
    assert (ops.relu(np.ones(10, np.float32)) == 1).all()


def test_cache_is_bounded() -> None:
    fastconv.clear_cache()
    limit = fastconv.cache_info().limit_bytes
    # Memory that nobody writes to costs addresses only.
    blocks = [_core.empty((limit // 8,), np.dtype(np.uint8)) for _ in range(12)]
    del blocks
    info = fastconv.cache_info()
    assert 0 < info.cached_bytes <= limit
    many = [_core.empty((8,), np.dtype(np.uint8)) for _ in range(5000)]
    del many
    assert fastconv.cache_info().cached_blocks < 2000
    fastconv.clear_cache()


def test_what_is_no_longer_used_gives_way() -> None:
    fastconv.clear_cache()
    limit = fastconv.cache_info().limit_bytes
    former = [_core.empty((limit // 8,), np.dtype(np.uint8)) for _ in range(12)]
    del former
    # Of another class than the former, larger than what is left.
    size = limit // 6
    _core.empty((size,), np.dtype(np.uint8))
    misses = fastconv.cache_info().misses
    _core.empty((size,), np.dtype(np.uint8))
    assert fastconv.cache_info().misses == misses + 1
    for _ in range(1100):
        _core.empty((size,), np.dtype(np.uint8))
    misses = fastconv.cache_info().misses
    _core.empty((size,), np.dtype(np.uint8))
    info = fastconv.cache_info()
    assert info.misses == misses
    assert info.cached_bytes <= limit
    fastconv.clear_cache()


def resident_bytes() -> int:
    fastconv.clear_cache()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_nothing_grows() -> None:
    """10,000 calls over 500 shapes, after as many to let allocators and caches settle."""
    random = np.random.default_rng(0)
    sizes = random.integers(3, 24, (500, 2))
    kernel = np.ones((3, 3, 2, 3), np.float32)

    def run() -> None:
        for _ in range(4):
            for height, width in sizes:
                x = np.ones((1, height, width, 2), np.float32)
                y = ops.conv2d(x, kernel)
                ops.conv2d_gradients(x, kernel, y)
                ops.conv2d(x.transpose(0, 3, 1, 2), kernel, data_format="channels_first")
                ops.matmul(x[0, :, :, 0], x[0, :, :, 1], transpose_b=True)
                ops.softmax(x)

    run()
    before, used = resident_bytes(), used_blocks()
    run()
    assert used_blocks() == used
    assert resident_bytes() - before < MIB


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    # Memory that is freed goes back to the operating system at once (glibc).
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_no_memory_for_the_result() -> None:
    x, kernel = np.ones((1, 4, 4, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)
    before = used_blocks()
    with pytest.raises(MemoryError, match=r"^conv2d: cannot allocate .* \(1, 4000000004, "):
        ops.conv2d(x, kernel, padding=2 * 10**9)
    with pytest.raises(MemoryError, match="max_pool2d_gradient: cannot allocate"):
        ops.max_pool2d_gradient(x, np.zeros(x.shape, np.int64), (1, 2**31 - 1, 2**31 - 1, 1))
    # A copy of what looks large but is one element.
    huge = np.broadcast_to(np.float32(1), (2**46,))
    with pytest.raises(MemoryError, match="relu: cannot allocate"):
        ops.relu(huge)
    assert used_blocks() == before
    assert ops.conv2d(x, kernel).tolist() == x.tolist()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_memory_runs_out_anywhere() -> None:
    """With ever less room left, a call gives the right result or a MemoryError, and no leak."""
    result = run_script(
        """
        import gc, resource
        from pathlib import Path
        import numpy as np
        import fastconv
        from fastconv import ops

        x = np.ones((16, 64, 64, 16), np.float32)
        kernel = np.ones((3, 3, 16, 16), np.float32)
        grad = np.ones((16, 62, 62, 16), np.float32)
        a = np.ones((700, 700), np.float32)
        pooled, argmax = ops.max_pool2d(x, 3, strides=1, return_argmax=True)
        calls = {
            "forward": lambda: ops.conv2d(x, kernel),
            "gradients": lambda: ops.conv2d_gradients(x, kernel, grad).kernel,
            "planes": lambda: ops.conv2d(
                x.transpose(0, 3, 1, 2), kernel, data_format="channels_first"),
            "fused": lambda: ops.conv2d_max_pool2d(x, kernel),
            "pool": lambda: ops.max_pool2d_gradient(pooled, argmax, x.shape),
            "matmul": lambda: ops.matmul(a, a, transpose_a=True, transpose_b=True),
        }
        expected = {name: call().copy() for name, call in calls.items()}
        gc.collect()
        used = fastconv.cache_info().used_blocks
        unlimited = resource.getrlimit(resource.RLIMIT_AS)
        for name, call in calls.items():
            outcomes, message = [], None
            for room in range(24 * 2**20, -1, -(2**18)):
                fastconv.clear_cache()
                size = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
                resource.setrlimit(resource.RLIMIT_AS, (size + room, unlimited[1]))
                try:
                    y = call()
                except MemoryError as error:
                    outcomes.append("error")
                    message = str(error)
                else:
                    outcomes.append("result")
                resource.setrlimit(resource.RLIMIT_AS, unlimited)
                if outcomes[-1] == "result":
                    assert np.array_equal(y, expected[name]), name
                    del y
                assert fastconv.cache_info().used_blocks == used, name
            assert np.array_equal(call(), expected[name]), name
            print(name, outcomes.count("error"), outcomes.count("result"), message)
        """
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split(maxsplit=3) for line in result.stdout.splitlines()]
    assert len(lines) == 6
    for name, errors, results, _message in lines:
        assert int(errors) > 0, f"{name} never ran out of memory"
        assert int(results) > 0, f"{name} never had enough memory"


def test_arrays_that_outlive_the_interpreter() -> None:
    result = run_script(
        """
        import atexit, builtins, sys, threading
        import numpy as np
        from fastconv import ops

        builtins.kept = ops.relu(np.ones(100, np.float32))
        sys.modules["kept"] = ops.relu(np.ones(100, np.float32))
        cycle = [ops.relu(np.ones(100, np.float32))]
        cycle.append(cycle)
        atexit.register(lambda: print(ops.relu(np.ones(3, np.float32)).sum()))
        local = threading.local()
        local.kept = ops.relu(np.ones(100, np.float32))
        """
    )
    assert (result.returncode, result.stdout) == (0, "3.0\n"), result.stderr
