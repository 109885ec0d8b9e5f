"""What the operations refuse, and in which words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fastconv import reference
from support.arrays import Array
from support.calls import Call, refused, valid_calls, with_arrays

CALLS = valid_calls()
SEVERAL = [call for call in CALLS if len(call.float_names()) > 1]
HUGE = 2**63 - 1


# --- a table of wrong arguments -----------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """Changes to the first valid call of `operation`, and what the refusal must say."""

    operation: str
    changes: dict[str, Any]
    words: tuple[str, ...]
    exception: type[Exception] = ValueError
    ops_only: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        shown = ",".join(f"{name}={describe(value)}" for name, value in self.changes.items())
        return f"{self.operation}-{shown}"


def describe(value: Any) -> str:
    """A short form of an argument, for the name of a test."""
    return f"shape{value.shape}" if isinstance(value, np.ndarray) else repr(value)[:40]


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


CONVS = ("conv2d", "conv2d_gradients", "conv2d_max_pool2d", "conv2d_max_pool2d_gradients")
FUSED = CONVS[2:]
POOLS = ("max_pool2d", "average_pool2d")
IMAGES = (*CONVS, "conv2d_transpose", *POOLS)

TABLE = [
    *(
        Wrong(operation, {argument: value}, (argument, str(received)))
        for operation in (*CONVS, "conv2d_transpose")
        for argument in ("strides", "dilation_rate")
        for value, received in ((0, 0), (-1, -1), ((1, 0), (1, 0)), (2**32, 2**32), (HUGE, HUGE))
    ),
    *(
        Wrong(operation, {"strides": value}, ("strides", "integer"), TypeError)
        for operation in IMAGES
        for value in (1.0, "1", True, (1, 1.5), {1: 1})
    ),
    *(Wrong(operation, {"strides": None}, ("strides",), TypeError) for operation in CONVS),
    *(Wrong(operation, {"strides": (1, 2, 3)}, ("strides", "(1, 2, 3)")) for operation in IMAGES),
    *(
        Wrong(operation, {"padding": value}, ("padding",))
        for operation in (*CONVS, "conv2d_transpose", *POOLS)
        for value in ("full", -1, (0, -1), ((1, 1), (1, -1)), (1, 2, 3), HUGE)
    ),
    *(
        Wrong(operation, {"padding": value}, ("padding",), TypeError)
        for operation in (*CONVS, *POOLS)
        for value in (None, 0.5)
    ),
    *(Wrong(operation, {"data_format": "NHWC"}, ("data_format", "NHWC")) for operation in IMAGES),
    *(
        Wrong(operation, {"activation": "tanh"}, ("activation", "tanh"))
        for operation in ("conv2d", "conv2d_transpose", "matmul", *FUSED)
    ),
    *(
        Wrong(operation, {"groups": value}, ("groups", str(value)))
        for operation in CONVS
        for value in (0, -1, 3, 2**32)
    ),
    *(Wrong(operation, {"groups": 1.0}, ("groups",), TypeError) for operation in CONVS),
    # Windows that do not fit, and images without cells.
    *(
        Wrong(
            operation,
            {"padding": "valid", "x": zeros(1, 2, 2, 2), **extra},
            ("below 1", "(2, 2)"),
        )
        for operation, extra in (
            ("conv2d", {}),
            ("conv2d_gradients", {}),
            ("conv2d_max_pool2d", {}),
            ("max_pool2d", {"pool_size": 3}),
            ("average_pool2d", {"pool_size": 3}),
        )
    ),
    *(
        Wrong(operation, {"x": zeros(*shape)}, ("(0, ", "below 1"))
        for operation in ("conv2d", "max_pool2d", "average_pool2d", "conv2d_max_pool2d")
        for shape in ((1, 0, 4, 2),)
    ),
    *(
        Wrong(operation, {"x": zeros(1, 4, 4, 0)}, ("x", "channels"))
        for operation in ("conv2d", "conv2d_transpose", *POOLS)
    ),
    *(Wrong(operation, {"x": zeros(4, 4, 2)}, ("x", "4 axes")) for operation in IMAGES),
    # Arrays that do not fit each other.
    Wrong("conv2d", {"kernel": zeros(3, 3, 3, 4)}, ("kernel", "(3, 3, 3, 4)")),
    Wrong("conv2d", {"kernel": zeros(3, 3, 2)}, ("kernel", "4 axes")),
    Wrong("conv2d", {"kernel": zeros(3, 3, 2, 0)}, ("kernel", "empty")),
    Wrong("conv2d", {"kernel": zeros(0, 3, 2, 4)}, ("kernel", "empty")),
    Wrong("conv2d", {"bias": zeros(5)}, ("bias", "(4,)", "(5,)")),
    Wrong("conv2d", {"bias": zeros(1, 4)}, ("bias", "1 axes")),
    Wrong("conv2d_transpose", {"kernel": zeros(3, 3, 2, 5)}, ("kernel", "(3, 3, 2, 5)")),
    Wrong("conv2d_transpose", {"bias": zeros(4)}, ("bias", "(2,)", "(4,)")),
    Wrong("conv2d_transpose", {"output_padding": 2}, ("output_padding", "strides")),
    Wrong("conv2d_transpose", {"output_padding": -1}, ("output_padding",)),
    *(
        Wrong(operation, {"grad": zeros(*shape)}, ("grad", str(shape)))
        for operation, shapes in {
            "conv2d_gradients": ((3, 5, 3, 4), (2, 5, 4, 4), (2, 5, 3, 3), (2, 0, 3, 4)),
            "average_pool2d_gradient": ((1, 2, 2, 3), (2, 3, 2, 3), (2, 2, 2, 4)),
            "conv2d_max_pool2d_gradients": ((1, 2, 1, 4), (2, 3, 1, 4)),
        }.items()
        for shape in shapes
    ),
    Wrong("conv2d_max_pool2d_gradients", {"y": zeros(2, 2, 2, 4)}, ("y", "(2, 2, 2, 4)")),
    Wrong("max_pool2d_gradient", {"grad": zeros(1, 2, 2, 3)}, ("(1, 3)", "(2, 3)")),
    Wrong("max_pool2d_gradient", {"grad": zeros(2, 2, 3, 3)}, ("argmax", "(2, 2, 3, 3)")),
    Wrong("max_pool2d_gradient", {"input_shape": (2, 4, 4)}, ("input_shape", "(2, 4, 4)")),
    Wrong("max_pool2d_gradient", {"input_shape": (2, 4, 4, 0)}, ("input_shape", "channels")),
    Wrong("max_pool2d_gradient", {"input_shape": (2, 4, -4, 3)}, ("input_shape", "-4")),
    Wrong("max_pool2d_gradient", {"input_shape": (2, 4.0, 4, 3)}, ("input_shape",), TypeError),
    Wrong("average_pool2d_gradient", {"input_shape": (2, -4, 4, 3)}, ("input_shape", "-4")),
    Wrong("matmul", {"b": zeros(5, 6)}, ("b", "(5, 6)")),
    Wrong("matmul", {"b": zeros(6)}, ("b", "2 axes")),
    Wrong("matmul", {"bias": zeros(4)}, ("bias", "(5,)", "(4,)")),
    Wrong("relu_gradient", {"y": zeros(3, 6)}, ("y", "(3, 6)")),
    Wrong("softmax", {"x": zeros()}, ("x", "()")),
    Wrong("softmax", {"x": zeros(3, 0)}, ("x", "(3, 0)")),
    Wrong("log_softmax", {"x": zeros(3, 0)}, ("x", "(3, 0)")),
    Wrong("softmax_cross_entropy", {"logits": zeros(4)}, ("logits", "(4,)")),
    Wrong("softmax_cross_entropy", {"logits": zeros(4, 0)}, ("logits", "(4, 0)")),
    Wrong("softmax_cross_entropy", {"labels": np.array([0, 1])}, ("labels", "(2,)")),
    Wrong("softmax_cross_entropy", {"labels": zeros(4, 4)}, ("labels", "(4, 4)")),
    Wrong("softmax_cross_entropy", {"labels": np.array([0, 1, 2, 5])}, ("labels", "0 .. 5")),
    Wrong("softmax_cross_entropy", {"labels": np.array([0, 1, -1, 2])}, ("labels", "-1 .. 2")),
    Wrong(
        "softmax_cross_entropy",
        {"labels": np.full(4, 2**64 - 1, np.uint64)},
        ("labels", str(2**64 - 1)),
    ),
    Wrong("softmax_cross_entropy", {"labels": zeros(4)}, ("labels", "float32"), TypeError),
    Wrong("softmax_cross_entropy", {"out": zeros(4)}, ("out",), TypeError, ops_only=True),
    # Codes of maxima.
    *(
        Wrong(operation, {"argmax": np.full(shape, code)}, ("argmax", f"0 .. {cells - 1}"))
        for operation, shape, cells in (
            ("max_pool2d_gradient", (2, 2, 2, 3), 48),
            ("conv2d_max_pool2d_gradients", (2, 2, 1, 4), 60),
        )
        for code in (-1, cells, 2**40, -(2**63), 2**63 - 1)
    ),
    *(
        Wrong(operation, {"argmax": np.zeros(shape, dtype)}, ("argmax", "int64"), TypeError)
        for operation, shape in (
            ("max_pool2d_gradient", (2, 2, 2, 3)),
            ("conv2d_max_pool2d_gradients", (2, 2, 1, 4)),
        )
        for dtype in (np.int32, np.uint64, np.float32, ">i8", object)
    ),
    *(
        Wrong(operation, {"wrt": value}, ("wrt",))
        for operation in ("conv2d_gradients", "conv2d_max_pool2d_gradients")
        for value in ("y", ("x", "weights"), (1,))
    ),
    *(
        Wrong(operation, {"out": zeros(1)}, ("out",), TypeError, ops_only=True)
        for operation in ("conv2d_gradients", "conv2d_max_pool2d_gradients")
    ),
    # Pooling.
    *(
        Wrong(operation, {"pool_size": value}, ("pool_size", str(value)))
        for operation in (*POOLS, *FUSED)
        for value in (0, -1, (2, 0), 2**32, HUGE, (1, 2, 3))
    ),
    *(
        Wrong(operation, {"pool_strides": value}, ("pool_strides",))
        for operation in FUSED
        for value in (0, -1, 2**32)
    ),
    *(Wrong(operation, {"strides": 0}, ("strides", "0")) for operation in POOLS),
    *(
        Wrong(operation, {"padding": 2, "pool_size": 2}, ("padding", "without a cell"))
        for operation in POOLS
    ),
    Wrong(
        "max_pool2d",
        {"x": zeros(1, 1, 1, 1), "dilation_rate": 2**31 - 1, "padding": 2**31 - 2, "strides": 1},
        ("padding", "without a cell"),
    ),
    # Dropout.
    *(
        Wrong("dropout", {"rate": value}, ("rate", str(value)))
        for value in (-0.1, 1.5, math.nan, math.inf)
    ),
    *(
        Wrong("dropout", {argument: value}, (argument, str(value)))
        for argument in ("seed", "offset")
        for value in (-1, 2**64)
    ),
    *(
        Wrong("dropout", {argument: value}, (argument,), TypeError)
        for argument in ("seed", "offset")
        for value in (1.0, None, "1")
    ),
    Wrong("dropout", {"rate": "0.5"}, ("rate",), TypeError, ops_only=True),
    Wrong("dropout", {"rate": None}, ("rate",), TypeError, ops_only=True),
]


@pytest.mark.parametrize("wrong", TABLE, ids=str)
def test_wrong_arguments(wrong: Wrong) -> None:
    call = next(call for call in CALLS if call.operation == wrong.operation)
    message = refused(wrong.exception, call, *wrong.words, **wrong.changes)
    if not wrong.ops_only:
        with pytest.raises(wrong.exception) as caught:
            call.run(reference, **wrong.changes)
        assert str(caught.value) == message


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize(
    ("value", "exception"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2**31, ValueError),
        (10**30, ValueError),
        (1.0, TypeError),
        ("2", TypeError),
        (True, TypeError),
    ],
)
def test_number_of_threads(call: Call, value: Any, exception: type[Exception]) -> None:
    refused(exception, call, "num_threads", str(value), num_threads=value)


# --- arrays that are refused --------------------------------------------------------------------

DTYPES = {
    "float16": np.float16,
    "longdouble": np.longdouble,
    "complex": np.complex64,
    "int64": np.int64,
    "uint8": np.uint8,
    "bool": np.bool_,
    "object": object,
    "swapped": ">f4",
    "structured": [("value", "f4")],
    "text": "U1",
    "datetime": "M8[s]",
}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize(("call", "name"), with_arrays(CALLS, "f"))
def test_dtypes_are_not_cast(call: Call, name: str, dtype: Any) -> None:
    array = np.zeros(call.arrays[name].shape, dtype)
    message = refused(TypeError, call, name, str(array.dtype), **{name: array})
    assert "float32" in message


@pytest.mark.parametrize(("call", "name"), with_arrays(SEVERAL, "f"))
def test_dtypes_are_not_mixed(call: Call, name: str) -> None:
    other = call.arrays[name].astype(np.float64)
    message = refused(TypeError, call, "float64", **{name: other})
    assert "float32" in message


class OnAnotherDevice:
    """An array that only its own library can read."""

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("the memory is not that of the CPU")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


@pytest.mark.parametrize("kind", ["list", "tuple", "float", "text", "object", "masked", "device"])
@pytest.mark.parametrize(("call", "name"), with_arrays(CALLS, "f", "i"))
def test_other_objects_are_refused(call: Call, name: str, kind: str) -> None:
    array = call.arrays[name]
    value = {
        "list": array.tolist(),
        "tuple": tuple(array.tolist()),
        "float": 1.0,
        "text": "x",
        "object": object(),
        "masked": np.ma.masked_array(array),
        "device": OnAnotherDevice(),
    }[kind]
    refused(TypeError, call, name, **{name: value})


@pytest.mark.parametrize(("call", "name"), with_arrays(CALLS, "f", "i"))
def test_none_is_no_array(call: Call, name: str) -> None:
    if name != "bias":
        refused(TypeError, call, name, **{name: None})
