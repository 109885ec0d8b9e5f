"""Checked shapes are kept between calls: for the same arguments only, and not for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import ops
from fastconv.ops._remembered import remembered


def counted() -> tuple[Any, list[tuple[Any, ...]]]:
    calls = []

    @remembered
    def function(*arguments: Any) -> tuple[Any, ...]:
        calls.append(arguments)
        if isinstance(arguments[2], str) and arguments[2] == "wrong":
            raise ValueError("it is wrong")
        return arguments

    return function, calls


@pytest.mark.parametrize("option", [1, "same", None, True, (1, 2), ((0, 1), (2, 3))], ids=str)
def test_the_same_call_is_made_once(option: Any) -> None:
    function, calls = counted()
    assert function("f", (2, 3), option) is function("f", (2, 3), option)
    assert len(calls) == 1
    function("f", (3, 2), option)
    function("g", (2, 3), option)
    assert len(calls) == 3


@pytest.mark.parametrize(
    "others",
    [
        (1, True, 1.0, np.int64(1)),
        ((1, 1), (True, 1), (1.0, 1), [1, 1], np.array([1, 1])),
        (((1, 1), (1, 1)), ((1, True), (1, 1)), ((1, 1), [1, 1])),
    ],
    ids=["numbers", "pairs", "sides"],
)
def test_equal_options_of_other_types_are_other_calls(others: tuple[Any, ...]) -> None:
    function, calls = counted()
    for option in others:
        function("f", (2, 3), option)
        assert calls[-1][2] is option
    assert len(calls) == len(others)


@pytest.mark.parametrize("option", [1.0, (1.0,), (((1,),),), (None,), b"1", np.int64(1)], ids=str)
def test_calls_with_other_types_are_always_made(option: Any) -> None:
    function, calls = counted()
    for _ in range(2):
        function("f", (2, 3), option)
    assert len(calls) == 2


def test_errors_are_not_kept() -> None:
    function, calls = counted()
    for _ in range(2):
        with pytest.raises(ValueError, match="it is wrong"):
            function("f", (2,), "wrong")
    assert len(calls) == 2


def test_the_number_of_kept_results_is_bounded() -> None:
    function, calls = counted()
    for size in range(5000):
        function("f", (size,), 1)
    function("f", (4999,), 1)
    assert len(calls) == 5000
    function("f", (0,), 1)
    assert len(calls) == 5001


@pytest.mark.parametrize("wrong", [True, 1.0, (True, 1), (1.0, 1)], ids=str)
def test_a_good_call_does_not_let_a_bad_one_pass(wrong: Any) -> None:
    x, kernel = np.ones((1, 4, 4, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
    for good in (1, (1, 1)):
        ops.conv2d(x, kernel, strides=good)
        ops.max_pool2d(x, 2, strides=good)
    with pytest.raises(TypeError, match="conv2d: strides must be an integer"):
        ops.conv2d(x, kernel, strides=wrong)
    with pytest.raises(TypeError, match="max_pool2d: strides must be an integer"):
        ops.max_pool2d(x, 2, strides=wrong)
