"""Settings, their scope, and the description of the build."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import _core, config


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The result of `code` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- the build ----------------------------------------------------------------------------------


def test_build_info() -> None:
    info = config.build_info()
    assert list(info) == [
        "cpu",
        "isas_compiled",
        "isas_available",
        "isa_active",
        "threads",
        "openmp",
        "precision",
        "compiler",
        "flags",
        "fastconv",
        "numpy",
        "python",
    ]
    assert all(isinstance(value, str) and value for value in info.values())
    assert info["fastconv"] == fastconv.__version__ == importlib.metadata.version("fastconv")
    assert info["numpy"] == np.__version__
    assert info["isas_available"].split(", ") == list(config.available_isas())
    assert set(config.available_isas()) <= set(info["isas_compiled"].split(", "))


def test_build_info_follows_the_settings() -> None:
    level = config.available_isas()[0]
    with config.use_isa(level), config.num_threads(7):
        info = config.build_info()
    assert (info["isa_active"], info["threads"]) == (level, "7")


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    config.show_config()
    lines = capsys.readouterr().out.splitlines()
    table = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert table == config.build_info()
    assert len({line.index(line.split(maxsplit=1)[1]) for line in lines}) == 1, "not a table"


# --- instruction-set levels ---------------------------------------------------------------------


@pytest.mark.parametrize("level", config.available_isas())
def test_use_isa(level: str) -> None:
    before = config.active_isa()
    with config.use_isa(level):
        assert config.active_isa() == level
        with config.use_isa(config.available_isas()[0]):
            assert config.active_isa() == config.available_isas()[0]
        assert config.active_isa() == level
    assert config.active_isa() == before


def test_use_isa_restores_after_an_error() -> None:
    before = config.active_isa()
    with pytest.raises(KeyError), config.use_isa(config.available_isas()[0]):
        raise KeyError
    assert config.active_isa() == before


@pytest.mark.parametrize("name", ["", "AVX2", "sse9", "avx2 ", None, 2])
def test_unknown_isa(name: Any) -> None:
    before = config.active_isa()
    with pytest.raises(
        ValueError, match=r"^use_isa: name .* expected one of .*, received"
    ) as error:
        config.use_isa(name).__enter__()
    for level in config.available_isas():
        assert level in str(error.value)
    assert repr(name) in str(error.value)
    assert config.active_isa() == before


@pytest.mark.parametrize("level", config.available_isas())
def test_isa_of_the_environment(level: str) -> None:
    result = run_python("import fastconv; print(fastconv.active_isa())", FASTCONV_ISA=level)
    assert result.stdout.split() == [level], result.stderr


def test_empty_isa_of_the_environment_is_none() -> None:
    result = run_python("import fastconv; print(fastconv.active_isa())", FASTCONV_ISA="")
    assert result.stdout.split() == [config.available_isas()[-1]], result.stderr


@pytest.mark.parametrize("name", ["sse9", "AVX2", "neon,avx2"])
def test_wrong_isa_of_the_environment(name: str) -> None:
    code = "try:\n import fastconv\nexcept ImportError as error:\n print(error)"
    result = run_python(code, FASTCONV_ISA=name)
    assert result.returncode == 0, result.stderr
    for word in ("FASTCONV_ISA", f'"{name}"', *config.available_isas()):
        assert word in result.stdout


# --- threads ------------------------------------------------------------------------------------


def test_num_threads() -> None:
    before = config.get_num_threads()
    assert before >= 1
    with config.num_threads(5):
        assert config.get_num_threads() == 5
        with config.num_threads(1):
            assert config.get_num_threads() == 1
        assert config.get_num_threads() == 5
        config.set_num_threads(3)
        assert config.get_num_threads() == 3
    assert config.get_num_threads() == before
    with pytest.raises(KeyError), config.num_threads(2):
        raise KeyError
    assert config.get_num_threads() == before


@pytest.mark.parametrize(
    ("count", "exception"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2**31, ValueError),
        (2**70, ValueError),
        (1.0, TypeError),
        ("2", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_wrong_num_threads(count: Any, exception: type[Exception]) -> None:
    before = config.get_num_threads()
    with pytest.raises(exception, match=r"^set_num_threads: n .*, expected int .*, received"):
        config.set_num_threads(count)
    with pytest.raises(exception, match=r"^num_threads: n .*, expected int .*, received"):
        config.num_threads(count).__enter__()
    assert config.get_num_threads() == before


@pytest.mark.parametrize(("wish", "count"), [("3", 3), ("3,2", 3)])
def test_the_environment_gives_the_default(wish: str, count: int) -> None:
    result = run_python("import fastconv; print(fastconv.get_num_threads())", OMP_NUM_THREADS=wish)
    assert result.stdout.split() == [str(count)], result.stderr


@pytest.mark.parametrize("wish", ["", "many", "0", "-1"])
def test_the_default_is_what_the_process_may_use(wish: str) -> None:
    result = run_python("import fastconv; print(fastconv.get_num_threads())", OMP_NUM_THREADS=wish)
    assert result.stdout.split() == [str(len(os.sched_getaffinity(0)))], result.stderr


# --- precision ----------------------------------------------------------------------------------


def test_precision() -> None:
    before = config.get_precision()
    try:
        for precision in ("strict", "fast", "default"):
            config.set_precision(precision)  # type: ignore[arg-type]
            assert config.get_precision() == precision
            assert config.build_info()["precision"] == precision
    finally:
        config.set_precision(before)


@pytest.mark.parametrize("precision", ["", "Strict", "standard", "fastest", None, 1])
def test_wrong_precision(precision: Any) -> None:
    before = config.get_precision()
    with pytest.raises(ValueError, match=r"^set_precision: .* expected .*strict.*fast.*, received"):
        config.set_precision(precision)
    assert config.get_precision() == before


# --- memory -------------------------------------------------------------------------------------


def test_cache_info() -> None:
    info = config.cache_info()
    assert info._fields == (
        "cached_bytes",
        "cached_blocks",
        "used_bytes",
        "used_blocks",
        "limit_bytes",
        "hits",
        "misses",
    )
    assert all(type(value) is int and value >= 0 for value in info)
    assert info.cached_bytes <= info.limit_bytes


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("float64", [False, True])
def test_multiply_tiles_counts_its_work(float64: bool) -> None:
    one = _core.multiply_tiles(1, float64)
    # The smallest tile, x86-64-v2 in float64: 6 rows of 2 vectors of 2.
    depth, fewest_sums = 1024, 24
    assert one >= depth * fewest_sums
    assert one % depth == 0
    assert _core.multiply_tiles(3, float64) == 3 * one
