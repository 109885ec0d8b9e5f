"""Whether Keras 3 refuses the calls that fastconv refuses, and the other way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from support.beside_keras import IGNORED_WARNINGS, keras
from wrong_arguments import ARGUMENTS, DEPENDS, Refused
from wrong_inputs import CALLS, INPUTS, WrongCall, X, built

pytestmark = IGNORED_WARNINGS


def compare(case: Refused | WrongCall, call: Callable[[], Any]) -> None:
    """Run `call` of Keras, which fails unless the table says why it does not."""
    if case.taken:
        call()
    else:
        # Of any kind: a wrong argument may get as far as the arithmetic.
        with pytest.raises(Exception):  # noqa: B017, PT011
            call()


def make_and_call(case: Refused) -> None:
    layer = case.make(keras)
    if "input_shape" in case.arguments:
        keras.Sequential([layer])
    if case.layer != "InputLayer":
        x = np.ones((2, 8, 8, 2), np.float32)
        layer([x, x] if case.layer in ("Add", "Concatenate") else x)


def call_on_shapes(case: Refused) -> None:
    shapes = case.shape if isinstance(case.shape, list) else [case.shape]
    if any(None in shape for shape in shapes):
        inputs = [keras.Input(shape) for shape in shapes]
    else:
        inputs = [np.ones((5, *shape), np.float32) for shape in shapes]
    case.make(keras)(inputs if isinstance(case.shape, list) else inputs[0])


def certain(cases: list[Refused]) -> list[Refused]:
    return [case for case in cases if case.taken != DEPENDS]


@pytest.mark.parametrize("case", certain(ARGUMENTS), ids=str)
def test_arguments(case: Refused) -> None:
    compare(case, lambda: make_and_call(case))


@pytest.mark.parametrize("case", certain(INPUTS), ids=str)
def test_inputs(case: Refused) -> None:
    compare(case, lambda: call_on_shapes(case))


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
def test_calls(case: WrongCall) -> None:
    compare(case, lambda: case.call(keras))


# What only Keras refuses, and why fastconv does not.
TAKEN_HERE: dict[str, Callable[[Any], Any]] = {
    # The lecture's program computes the number of classes with NumPy.
    "a NumPy integer": lambda k: k.layers.Dense(np.int64(3)),
    "a NumPy bool": lambda k: k.layers.Dense(3, trainable=np.True_),
    "a NumPy seed": lambda k: k.layers.Dropout(0.5, seed=np.int64(3)),
    # The defaults of MaxPooling2D.
    "no pool size": lambda k: k.layers.AveragePooling2D(),
    # The channels are what counts.
    "other axes": lambda k: built(k.layers.BatchNormalization(), 2, 4, 3)(X),
}


@pytest.mark.parametrize("call", TAKEN_HERE.values(), ids=TAKEN_HERE)
def test_what_only_keras_refuses(call: Callable[[Any], Any]) -> None:
    call(fastconv)
    with pytest.raises((TypeError, ValueError)):
        call(keras)
