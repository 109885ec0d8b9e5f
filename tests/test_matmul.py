"""The native matrix product, on every instruction-set level."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastconv import _core, ops, reference
from support.arrays import (
    DTYPES,
    Guarded,
    assert_equal,
    assert_exact_in_float32,
    assert_mostly_nonzero,
    assert_same_bits,
    guarded_copy,
    integers,
    reals,
)
from support.bounds import assert_within_bound
from support.cases import TAILS

Size = tuple[int, int, int]

# M, K, N
SIZES = {
    "1x1x1": (1, 1, 1),
    "dot": (1, 67, 1),
    "outer": (33, 1, 35),
    "row": (1, 65, 130),
    "column": (130, 65, 1),
    "m1_dense": (32, 1600, 10),
    "m3_dense": (3, 1600, 128),
    "m4_dense": (16, 512, 32),
    "no_rows": (0, 5, 7),
    "no_terms": (5, 0, 7),
    "no_columns": (5, 7, 0),
    "nothing": (0, 0, 0),
    "parallel": (130, 170, 150),
    "parallel_thin": (1, 400, 3100),
    "parallel_deep": (8, 9000, 18),
    "narrow_one_row": (1, 1601, 10),
    "narrow_tails": (7, 310, 9),
    "streamed_from_far": (3, 1100, 530),
    "streamed_by_blocks": (40, 700, 530),
    "from_memory": (1, 3210, 1000),
    "rows_from_memory": (7, 3210, 1000),
    "more_rows_from_memory": (17, 3210, 1003),
    "outer_product_along_rows": (300, 5, 330),
    "outer_product_of_few_columns": (1001, 1, 10),
    "outer_product_in_parallel": (700, 1, 260),
    "few_rows": (4, 70, 67),
    "turned": (95, 700, 33),
    "turned_on_every_level": (32, 784, 101),
    "turned_in_parts": (67, 100, 389),
    "turned_copy": (389, 270, 773),
    "shallow": (131, 10, 1600),
    "direct": (131, 201, 100),
    "direct_deep": (131, 700, 67),
    "direct_whole_vectors": (48, 530, 128),
    "direct_in_many_items": (700, 201, 35),
    **{
        f"tail_{m}_{k}_{n}": (m, k, n)
        for m, k, n in zip(TAILS, TAILS[7:] + TAILS[:7], TAILS[::-1], strict=True)
    },
}
sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
TRANSPOSES = [(False, False), (False, True), (True, False), (True, True)]


@cache
def matrices(fill: Callable[..., np.ndarray], size: Size) -> tuple[np.ndarray, ...]:
    """a, b and bias in float64."""
    rows, depth, columns = size
    return fill(0, rows, depth), fill(1, depth, columns), fill(2, columns)


def stored(matrix: np.ndarray, transpose: bool) -> np.ndarray:
    """The packed array that stands for `matrix` with or without the transpose flag."""
    return np.ascontiguousarray(matrix.T if transpose else matrix)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@sizes
def test_integers_are_exact(size: Size, dtype: type) -> None:
    rows, depth, columns = size
    a, b, bias = matrices(integers, size)
    assert_exact_in_float32(depth)
    for c, activation in ((None, None), (bias.astype(dtype), "relu"), (bias.astype(dtype), None)):
        expected = reference.matmul(a, b, None if c is None else bias, activation=activation)
        if depth > 0:
            assert_mostly_nonzero(expected)
        for transpose_a, transpose_b in TRANSPOSES:
            out = Guarded((rows, columns), dtype)
            left = guarded_copy(stored(a, transpose_a).astype(dtype)).array
            right = guarded_copy(stored(b, transpose_b).astype(dtype)).array
            y = ops.matmul(
                left,
                right,
                c,
                transpose_a=transpose_a,
                transpose_b=transpose_b,
                activation=activation,
                out=out.array,
            )
            assert y is out.array
            what = f"transposes {transpose_a}, {transpose_b}, {activation}"
            assert_equal(y, expected.astype(dtype), what)
            out.assert_guards_intact()
            assert_equal(left, stored(a, transpose_a).astype(dtype), "a was modified")
            assert_equal(right, stored(b, transpose_b).astype(dtype), "b was modified")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("transposes", TRANSPOSES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name",
    [
        "parallel",
        "parallel_thin",
        "parallel_deep",
        "streamed_from_far",
        "more_rows_from_memory",
        "m1_dense",
        "turned",
        "turned_on_every_level",
        "turned_in_parts",
        "shallow",
        "direct",
        "direct_deep",
        "direct_whole_vectors",
        "direct_in_many_items",
    ],
)
def test_bits_do_not_depend_on_the_thread_count(
    name: str, dtype: type, transposes: tuple[bool, bool]
) -> None:
    rows, depth, columns = SIZES[name]
    left = stored(reals(0, rows, depth), transposes[0]).astype(dtype)
    right = stored(reals(1, depth, columns), transposes[1]).astype(dtype)
    flags: dict[str, Any] = {"transpose_a": transposes[0], "transpose_b": transposes[1]}
    serial, *others = (
        ops.matmul(left, right, num_threads=count, **flags) for count in (1, 2, 3, 2)
    )
    for y in others:
        assert_same_bits(y, serial)


@pytest.mark.usefixtures("isa", "strict")
@pytest.mark.parametrize("dtype", DTYPES)
@sizes
def test_real_values_are_within_the_bound(size: Size, dtype: type) -> None:
    a, b, bias = matrices(reals, size)
    expected, magnitude = reference.matmul(a, b, bias), reference.matmul(abs(a), abs(b), abs(bias))
    for transpose_a, transpose_b in TRANSPOSES:
        y = ops.matmul(
            stored(a, transpose_a).astype(dtype),
            stored(b, transpose_b).astype(dtype),
            bias.astype(dtype),
            transpose_a=transpose_a,
            transpose_b=transpose_b,
        )
        assert_within_bound(y, expected, magnitude, size[1])


# Where a row alone is computed another way than many: in place, streamed, with a copy of b, turned,
# direct.
ROW_OF_BATCH_SIZES = [
    (9, 1600, 10),
    (67, 33, 65),
    (40, 300, 129),
    (41, 245, 1),
    (41, 310, 9),
    (41, 167, 6),
    (41, 170, 20),
    (41, 1100, 530),
    (9, 1024, 70),
    (7, 3210, 1000),
    (95, 700, 33),
    (32, 784, 101),
    (67, 100, 389),
    (131, 10, 1600),
    (131, 201, 100),
    (131, 700, 67),
    (48, 530, 128),
]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", ROW_OF_BATCH_SIZES)
def test_row_of_a_batch_equals_the_row_alone(
    size: Size, dtype: type, transpose_b: bool, num_threads: int
) -> None:
    rows, depth, columns = size
    a = reals(0, rows, depth).astype(dtype)
    b = stored(reals(1, depth, columns), transpose_b).astype(dtype)
    batch = ops.matmul(a, b, transpose_b=transpose_b, num_threads=num_threads)
    for first in range(0, rows, 5):
        for count in (1, 3):
            some = slice(first, first + count)
            alone = ops.matmul(a[some].copy(), b, transpose_b=transpose_b)
            assert_same_bits(batch[some], alone, f"{count} rows from {first}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [1, 8])
def test_kernel_gradient_past_the_caches(dtype: type, depth: int) -> None:
    # 25 MB, and 64 columns: whole cache lines.
    a, b = integers(0, depth, 98304 if dtype is np.float32 else 49152), integers(1, depth, 64)
    y = ops.matmul(a.astype(dtype), b.astype(dtype), transpose_a=True)
    assert y.nbytes >= 24 << 20
    assert_equal(y, (a.T @ b).astype(dtype))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3])
def test_bits_do_not_depend_on_where_a_transposed_factor_lies(rows: int, dtype: type) -> None:
    # Rows half a page apart are turned in squares that begin with a cache line.
    a, b = reals(0, rows, 1024).astype(dtype), reals(1, 70, 1024).astype(dtype)
    room = np.empty(b.size + 64, dtype)
    first = -room.ctypes.data % 64 // room.itemsize
    results = []
    for beside in range(64 // room.itemsize):
        placed = room[first + beside :][: b.size].reshape(b.shape)
        placed[:] = b
        results.append(ops.matmul(a, placed, transpose_b=True))
    for y in results:
        assert_same_bits(y, results[0])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_identical_columns_and_rows_give_identical_results(dtype: type) -> None:
    row, column = reals(0, 1, 37).astype(dtype), reals(1, 37, 1).astype(dtype)
    for count in range(1, 68):
        y = ops.matmul(np.repeat(row, count, axis=0), np.repeat(column, count, axis=1))
        assert_same_bits(y, np.full((count, count), y[0, 0], dtype), f"{count}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_reaches_exactly_its_row_or_column(dtype: type) -> None:
    a, b = integers(0, 19, 35), integers(1, 35, 67)
    clean = reference.matmul(a, b)
    for spoilt, index in (("a", (7, 34)), ("b", (3, 66))):
        left, right, expected = a.copy(), b.copy(), clean.copy()
        if spoilt == "a":
            left[index] = np.nan
            expected[index[0], :] = np.nan
        else:
            right[index] = np.nan
            expected[:, index[1]] = np.nan
        y = ops.matmul(left.astype(dtype), right.astype(dtype))
        assert_equal(y, expected.astype(dtype), spoilt)
        relu = ops.matmul(left.astype(dtype), right.astype(dtype), activation="relu")
        assert_equal(relu, np.where(expected < 0, 0, expected).astype(dtype), spoilt)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_memory_layout_is_read(dtype: type) -> None:
    a, b = integers(0, 9, 14), integers(1, 14, 11)
    expected = reference.matmul(a, b).astype(dtype)
    a, b = a.astype(dtype), b.astype(dtype)
    wide = np.zeros((18, 28), dtype)
    wide[::2, ::2] = a
    backwards = np.ascontiguousarray(b[::-1, ::-1])
    for left in (a, np.asfortranarray(a), wide[::2, ::2]):
        for right in (b, np.asfortranarray(b), backwards[::-1, ::-1]):
            assert_equal(ops.matmul(left, right), expected)
            assert_equal(ops.matmul(left.T, right, transpose_a=True), expected)
            assert_equal(ops.matmul(left, right.T, transpose_b=True), expected)


@pytest.mark.usefixtures("isa")
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.tuples(*[st.integers(0, 80)] * 3),
    transposes=st.sampled_from(TRANSPOSES),
    dtype=st.sampled_from(DTYPES),
    activation=st.sampled_from((None, "linear", "relu")),
)
def test_any_shape(
    size: Size, transposes: tuple[bool, bool], dtype: type, activation: str | None
) -> None:
    rows, depth, columns = size
    a, b, bias = integers(0, rows, depth), integers(1, depth, columns), integers(2, columns)
    y = ops.matmul(
        stored(a, transposes[0]).astype(dtype),
        stored(b, transposes[1]).astype(dtype),
        bias.astype(dtype),
        transpose_a=transposes[0],
        transpose_b=transposes[1],
        activation=activation,
    )
    assert_equal(y, reference.matmul(a, b, bias, activation=activation).astype(dtype))


def misaligned(*shape: int) -> np.ndarray:
    memory = np.zeros(int(np.prod(shape)) * 4 + 1, np.uint8)
    return memory[1:].view(np.float32).reshape(shape)


def read_only(*shape: int) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array.flags.writeable = False
    return array


PLAIN = {
    "a": np.ones((3, 4), np.float32),
    "b": np.ones((4, 5), np.float32),
    "bias": np.ones(5, np.float32),
    "out": np.ones((3, 5), np.float32),
    "transpose_a": False,
    "transpose_b": False,
    "activation": "relu",
    "num_threads": None,
}
NOT_PLAIN = [
    *(
        pytest.param(name, value, id=f"{name}-{what}")
        for name in ("a", "b", "bias", "out")
        for what, value in {
            "list": PLAIN[name].tolist(),
            "subclass": np.ma.masked_array(PLAIN[name]),
            "float64": PLAIN[name].astype(np.float64),
            "int32": PLAIN[name].astype(np.int32),
            "object": PLAIN[name].astype(object),
            "swapped": PLAIN[name].astype(">f4"),
            "rank": PLAIN[name][None].copy(),
            "scalar": np.float32(1).reshape(()),
            "larger": np.ones([n + 1 for n in PLAIN[name].shape], np.float32),
            "strided": np.ones([2 * n for n in PLAIN[name].shape], np.float32)[..., ::2][::2],
            "misaligned": misaligned(*PLAIN[name].shape),
        }.items()
    ),
    ("a", None),
    ("b", None),
    ("out", read_only(3, 5)),
    ("transpose_a", True),
    ("transpose_a", 0),
    ("transpose_b", np.bool_(False)),
    ("activation", "linear"),
    ("activation", b"relu"),
    ("activation", 1),
    ("num_threads", 1),
    ("num_threads", "1"),
]


@pytest.mark.parametrize(("name", "value"), NOT_PLAIN)
def test_short_way_leaves_what_is_not_plain(name: str, value: Any) -> None:
    arguments = {**PLAIN, "out": np.full((3, 5), np.nan, np.float32)}
    y = _core.plain_matmul(**arguments)
    assert y is arguments["out"]
    assert_equal(y, np.full((3, 5), 5, np.float32))
    y[:] = 7
    assert _core.plain_matmul(**{**arguments, name: value}) is None
    assert_equal(y, np.full((3, 5), 7, np.float32), "written all the same")


def test_short_way_leaves_overlaps() -> None:
    square = np.ones((4, 4), np.float32)
    for out in (square, square[:2]):
        arguments = {**PLAIN, "a": square[: len(out)], "b": square, "bias": None, "out": out}
        assert _core.plain_matmul(**arguments) is None
        assert_equal(square, np.ones((4, 4), np.float32))


@pytest.mark.parametrize("transposes", TRANSPOSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_short_way_equals_the_longer_one(dtype: type, transposes: tuple[bool, bool]) -> None:
    a, b, bias = (matrix.astype(dtype) for matrix in matrices(reals, (7, 9, 11)))
    flags = {"transpose_a": transposes[0], "transpose_b": transposes[1]}
    left, right = stored(a, transposes[0]), stored(b, transposes[1])
    for shift, activation in ((None, None), (bias, None), (bias, "relu"), (None, "relu")):
        y = _core.plain_matmul(left, right, shift, None, *transposes, activation, None)
        longer = ops.matmul(left, right, shift, activation=activation, num_threads=1, **flags)
        assert_same_bits(y, longer, f"{activation}")
