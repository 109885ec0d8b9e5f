"""Fixtures: every instruction-set level and thread count, strict precision, names of layers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# pytest-xdist gives its workers a terminal of 80 columns, which rich takes at its first import.
for _size in ("COLUMNS", "LINES"):
    os.environ.pop(_size, None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "isa" in metafunc.fixturenames:
        import fastconv

        metafunc.parametrize("isa", fastconv.available_isas(), indirect=True)


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction-set level of this machine, active during the whole test."""
    import fastconv

    level: str = request.param
    with fastconv.use_isa(level):
        assert fastconv.active_isa() == level
        yield level
        assert fastconv.active_isa() == level, "the level changed during the test"


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count}_threads")
def num_threads(request: pytest.FixtureRequest) -> int:
    """Thread counts: serial, as many as small machines have, and an odd one."""
    count: int = request.param
    return count


@pytest.fixture
def strict() -> Iterator[None]:
    """Only algorithms for which the elementwise error bound holds."""
    from support.precision import strict_precision

    with strict_precision():
        yield


@pytest.fixture
def fresh_names() -> None:
    """Layers and models are named as in a new process."""
    import fastconv

    fastconv.utils.clear_session()
