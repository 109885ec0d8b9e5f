"""Instruction-set level, threads, precision, buffers, and how this build was made.

All settings are of the process: they hold for every Python thread.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np

from fastconv import _core
from fastconv._errors import value_error
from fastconv._shapes import normalize_int

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CacheInfo",
    "active_isa",
    "available_isas",
    "build_info",
    "cache_info",
    "clear_cache",
    "get_num_threads",
    "get_precision",
    "num_threads",
    "set_num_threads",
    "set_precision",
    "show_config",
    "use_isa",
]


Precision: TypeAlias = Literal["default", "strict", "fast"]


class CacheInfo(NamedTuple):
    """The pool of memory blocks on which results live.

    Attributes:
        cached_bytes, cached_blocks: kept for the next result.
        used_bytes, used_blocks: under arrays that are alive.
        limit_bytes: upper limit of `cached_bytes`.
        hits, misses: requests served from the pool, and from the operating system.
    """

    cached_bytes: int
    cached_blocks: int
    used_bytes: int
    used_blocks: int
    limit_bytes: int
    hits: int
    misses: int


def cache_info() -> CacheInfo:
    """What the pool of memory blocks holds now."""
    return CacheInfo(*_core.pool_statistics())


def clear_cache() -> None:
    """Give the unused blocks of the pool back to the operating system.

    >>> clear_cache()
    >>> cache_info().cached_bytes
    0
    """
    _core.clear_pool()


def get_num_threads() -> int:
    """The number of threads of a call with `num_threads=None`.

    At first `OMP_NUM_THREADS`, or as many as there are processors that the process may use.
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads of calls with `num_threads=None`.

    Results do not depend on it, bit for bit. OpenMP in the host is not touched.

    Raises:
        TypeError, ValueError: `n` is not an int >= 1.
    """
    _core.set_num_threads(normalize_int("set_num_threads", "n", n))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """`set_num_threads(n)` inside a `with` block; the number before it comes back afterwards.

    >>> with num_threads(1):
    ...     get_num_threads()
    1
    """
    before = _core.num_threads()
    _core.set_num_threads(normalize_int("num_threads", "n", n))
    try:
        yield
    finally:
        _core.set_num_threads(before)


def available_isas() -> tuple[str, ...]:
    """The instruction-set levels that this build has and this machine runs, the best one last."""
    return tuple(_core.available_isas())


def active_isa() -> str:
    """The instruction-set level in use: the best one unless `FASTCONV_ISA` or `use_isa` says else.

    >>> active_isa() in available_isas()
    True
    """
    return _core.active_isa()


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Use the level `name` inside a `with` block; the level before it comes back afterwards.

    Raises:
        ValueError: `name` is not one of `available_isas()`.

    >>> with use_isa(available_isas()[0]):
    ...     active_isa() == available_isas()[0]
    True
    """
    if name not in _core.available_isas():
        expected = "one of " + ", ".join(_core.available_isas())
        raise value_error("use_isa", "name", "is unknown or not supported", expected, repr(name))
    before = _core.active_isa()
    _core.set_active_isa(name)
    try:
        yield
    finally:
        _core.set_active_isa(before)


def get_precision() -> Precision:
    """The precision that `set_precision` chose."""
    return cast("Precision", _core.precision())


def set_precision(precision: Precision) -> None:
    """Choose which algorithms may be used.

    "strict" keeps to direct sums: each element of a convolution is within the error bound of a
    dot product, and a NaN reaches exactly its receptive field. "default" may also use faster
    algorithms that meet the bound in norm: of 3x3 convolutions with C input channels Winograd's
    F(2x2, 3x3), whose error is at most (C + 11) u 16 max|x| sum|w|, u being 2^-24 in float32 and
    2^-53 in float64 (the sum over the weights of an output channel; for the input gradient the
    gradient takes the place of x, and channels change sides). Larger kernels are cut into parts of
    at most 3x3, and P parts count as P C channels.

    "fast" may also use F(4x4, 3x3), of the points 0, +-5/8, +-3/2 and infinity, for results and
    input gradients of 3x3 convolutions of stride 1 without pooling, where it is faster: up to 1.7
    times as fast as "default". Its error is at most (C + 25) u 205 max|x| sum|w|. Measured, the
    root mean square of the error is two to three times that of "default", and one to three times
    that of "strict": 8e-7 (64 channels) to 2e-6 (512) of that of the result. Small integers do
    not come out exact.

    In each of them a result has the same bits with any number of threads, and NaN and infinity
    reach what they do in a direct sum.

    Raises:
        ValueError: another name.
    """
    if precision not in get_args(Precision):
        expected = '"default", "strict" or "fast"'
        raise value_error("set_precision", "precision", "is not known", expected, repr(precision))
    _core.set_precision(precision)


def build_info() -> dict[str, str]:
    """How this build was made and what it uses on this machine, for bug reports.

    The keys are cpu, isas_compiled, isas_available, isa_active, threads, openmp, precision,
    compiler, flags, fastconv, numpy and python.
    """
    return {
        "cpu": _core.cpu_name(),
        "isas_compiled": ", ".join(_core.compiled_isas()),
        "isas_available": ", ".join(_core.available_isas()),
        "isa_active": _core.active_isa(),
        "threads": str(_core.num_threads()),
        "openmp": "not used: fastconv has threads of its own",
        "precision": _core.precision(),
        "compiler": _core.compiler,
        "flags": _core.build_flags,
        "fastconv": _core.version,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def show_config() -> None:
    """Print `build_info()` as a table."""
    info = build_info()
    width = max(map(len, info))
    for key, value in info.items():
        print(f"{key:<{width}}  {value}")
