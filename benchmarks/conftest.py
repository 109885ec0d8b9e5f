"""Rates beside times: GFLOP/s and percent of the multiply-add peak, measured in the same run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import _core


@functools.cache
def peak_gflops(isa: str, num_threads: int) -> float:
    """GFLOP/s of float32 multiply-adds from registers on the level in use."""
    assert fastconv.active_isa() == isa
    return 2e-9 * _core.multiply_adds_per_second(0.3, False, num_threads)


@pytest.fixture(params=sorted({1, os.cpu_count() or 1}), ids=lambda n: f"{n}t")
def num_threads(request: pytest.FixtureRequest) -> int:
    """One thread, and all."""
    return int(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every benchmark."""
    return np.random.default_rng(0)


@pytest.fixture
def measure(benchmark: Any) -> Callable[..., Any]:
    """measure(call, flops=, num_threads=, expected=): times a call and checks what it returns."""

    def run(
        call: Callable[[], Any],
        *,
        flops: float = 0,
        num_threads: int = 1,
        expected: Any = None,
        peak: bool = True,
    ) -> None:
        result = call()
        if expected is not None:
            scale = float(np.abs(expected).max())
            np.testing.assert_allclose(result, expected, rtol=0, atol=2e-5 * scale)
        info = benchmark.extra_info
        info.update(isa=fastconv.active_isa(), threads=num_threads, flops=flops)
        if peak and flops:
            info["peak"] = peak_gflops(fastconv.active_isa(), num_threads)
        benchmark.pedantic(call, rounds=15, iterations=1, warmup_rounds=3)

    return run


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """A table of what was measured."""
    session = getattr(config, "_benchmarksession", None)
    if session is None or not session.benchmarks:
        return
    terminalreporter.section("rates (medians)")
    terminalreporter.write_line(
        f"{'benchmark':<58} {'isa':>10} {'threads':>7} {'ms':>9} {'GFLOP/s':>8} {'of peak':>8}"
    )
    for bench in session.benchmarks:
        info = bench.extra_info
        median = bench.stats.median
        row = f"{bench.name.removeprefix('test_'):<58} {info.get('isa', ''):>10} "
        row += f"{info.get('threads', ''):>7} {median * 1e3:>9.3f}"
        if info.get("flops"):
            gflops = info["flops"] / median * 1e-9
            row += f" {gflops:>8.1f}"
            if "peak" in info:
                row += f" {gflops / info['peak']:>8.0%}"
        terminalreporter.write_line(row)
