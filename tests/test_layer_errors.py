"""What layers refuse, and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from wrong_arguments import ARGUMENTS, Refused
from wrong_inputs import CALLS, INPUTS, WrongCall

pytestmark = pytest.mark.usefixtures("fresh_names")


def refuse(case: Refused | WrongCall, call: Callable[[], Any]) -> None:
    """Run `call`, which must raise the error of `case`: operation, argument, rule and values."""
    with pytest.raises(case.error) as caught:
        call()
    assert type(caught.value) is case.error
    message = str(caught.value)
    assert re.match(case.message, message), message
    assert re.search(r", expected .+, received .+", message), message


@pytest.mark.parametrize("case", ARGUMENTS, ids=str)
def test_arguments(case: Refused) -> None:
    refuse(case, lambda: case.make(keras))


def samples(case: Refused) -> list[tuple[int | None, ...]]:
    return case.shape if isinstance(case.shape, list) else [case.shape]


def whole(case: Refused, parts: list[Any]) -> Any:
    return parts if isinstance(case.shape, list) else parts[0]


WITH_SIZES = [case for case in INPUTS if all(None not in shape for shape in samples(case))]
WITH_CELLS = [case for case in INPUTS if all(0 not in shape for shape in samples(case))]


@pytest.mark.parametrize("case", WITH_SIZES, ids=str)
def test_arrays(case: Refused) -> None:
    layer = case.make(keras)
    arrays = [np.zeros((5, *shape), np.float32) for shape in samples(case)]
    refuse(case, lambda: layer(whole(case, arrays)))


@pytest.mark.parametrize("case", WITH_CELLS, ids=str)
def test_tensors(case: Refused) -> None:
    layer = case.make(keras)
    tensors = [keras.Input(shape) for shape in samples(case)]
    refuse(case, lambda: layer(whole(case, tensors)))


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
def test_calls(case: WrongCall) -> None:
    refuse(case, lambda: case.call(keras))


def test_weights_that_do_not_fit() -> None:
    layer = layers.Dense(2)
    with pytest.raises(AttributeError, match="has no output"):
        _ = layer.output
    layer(np.zeros((1, 3)))
    before = layer.get_weights()
    with pytest.raises(ValueError, match="weights has the wrong shape for dense/bias"):
        layer.set_weights([np.ones((3, 2)), np.zeros(3)])
    assert np.array_equal(layer.get_weights()[0], before[0])
    with pytest.raises(ValueError, match="the initializer of w gives the wrong shape"):
        layer.add_weight((2,), lambda shape: np.zeros((*shape, 1)), name="w")
