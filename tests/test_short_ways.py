"""The short way of an operation equals the longer one, and leaves to it all that is not plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import _core, ops
from support.arrays import assert_same_bits, reals

X = reals(0, 2, 9, 8, 5).astype(np.float32)
GRAD = reals(1, 2, 4, 4, 5).astype(np.float32)
ARGMAX = ops.max_pool2d(X, 2, return_argmax=True)[1]
WINDOWS: dict[str, Any] = {"strides": None, "padding": "valid"}
LAST: dict[str, Any] = {"data_format": "channels_last", "out": None, "num_threads": None}
CALLS: dict[str, dict[str, Any]] = {
    "conv2d": {
        "x": X,
        "kernel": reals(2, 3, 2, 5, 4).astype(np.float32),
        "bias": reals(3, 4).astype(np.float32),
        "strides": 1,
        "padding": "valid",
        "dilation_rate": 1,
        "groups": 1,
        "activation": "relu",
        **LAST,
    },
    "max_pool2d": {
        "x": X,
        "pool_size": 2,
        **WINDOWS,
        "dilation_rate": 1,
        "ceil_mode": False,
        "return_argmax": False,
        **LAST,
    },
    "max_pool2d_gradient": {"grad": GRAD, "argmax": ARGMAX, "input_shape": X.shape, **LAST},
    "average_pool2d": {"x": X, "pool_size": 2, **WINDOWS, **LAST},
    "average_pool2d_gradient": {
        "grad": GRAD,
        "input_shape": X.shape,
        "pool_size": 2,
        **WINDOWS,
        **LAST,
    },
}


def short(operation: str, arguments: dict[str, Any]) -> Any:
    return getattr(_core, f"plain_{operation}")(**arguments)


def longer(operation: str, arguments: dict[str, Any]) -> Any:
    """What is told its number of threads goes the longer way; results do not depend on it."""
    return getattr(ops, operation)(**{**arguments, "num_threads": 1})


def misaligned(array: np.ndarray) -> np.ndarray:
    memory = np.zeros(array.nbytes + 1, np.uint8)
    return memory[1:].view(array.dtype).reshape(array.shape)


def not_plain(name: str, value: Any) -> list[Any]:
    """Values to put in the place of a plain argument."""
    if isinstance(value, np.ndarray):
        return [
            None,
            value.tolist(),
            np.ma.masked_array(value),
            value.astype(np.int32),
            value.astype(object),
            value.astype(value.dtype.newbyteorder(">")),
            value[None].copy(),
            np.repeat(value, 2, axis=0)[::2],
            misaligned(value),
            np.zeros([n + 1 for n in value.shape], value.dtype),
            np.zeros((0, *value.shape[1:]), value.dtype),
        ]
    pairs = [True, 0, -1, 2**31, 2**70, 1.0, np.int64(1), (1,), (1, True), (1, 1, 1), [1, 1], "1"]
    mixed = [((1, 1), 1), ((0, 1), (1, -1)), ((0, 1, 2), (0, 1)), "SAME", b"same", None]
    return {
        "input_shape": [None, list(X.shape), (2, 9, 8), (3, 9, 8, 5), (2, 9, 8, 6), (2, 0, 8, 5)],
        "pool_size": [*pairs, None, (100, 1)],
        "strides": pairs,
        "dilation_rate": [*pairs, 100],
        "padding": [*(value for value in pairs if value != 0), *mixed],
        "groups": [0, 2, True, (1, 1), 1.0],
        "ceil_mode": [True, 0, np.bool_(False)],
        "return_argmax": [0, None, np.bool_(True)],
        "activation": ["linear", "tanh", b"relu", 1],
        "data_format": ["last", None, b"channels_last"],
        "num_threads": [1, "1"],
        "out": [[1.0]],
    }[name]


GRADIENTS: dict[str, Any] = {
    name: value for name, value in CALLS["conv2d"].items() if name not in ("bias", "activation")
}
GRADIENTS |= {"grad": reals(4, 2, 7, 7, 4).astype(np.float32), "wrt": ("x", "kernel", "bias")}

NOT_PLAIN = [
    pytest.param(operation, name, wrong, id=f"{operation}-{name}-{number}")
    for operation, arguments in CALLS.items()
    for name, value in arguments.items()
    for number, wrong in enumerate(not_plain(name, value))
    if not (wrong is None and name == "bias")
]


@pytest.mark.parametrize(("operation", "name", "value"), NOT_PLAIN)
def test_short_way_leaves_what_is_not_plain(operation: str, name: str, value: Any) -> None:
    arguments = CALLS[operation]
    y = short(operation, arguments)
    assert_same_bits(y, longer(operation, arguments))
    y[:] = np.nan
    assert short(operation, {**arguments, "out": y, name: value}) is None
    assert np.isnan(y).all(), "written all the same"


@pytest.mark.parametrize("operation", CALLS)
def test_short_way_checks_its_output(operation: str) -> None:
    arguments = CALLS[operation]
    y = short(operation, arguments)
    out = np.full_like(y, np.nan)
    assert short(operation, {**arguments, "out": out}) is out
    assert_same_bits(out, y)
    for wrong in not_plain("out", y)[1:]:
        assert short(operation, {**arguments, "out": wrong}) is None
    out.flags.writeable = False
    assert short(operation, {**arguments, "out": out}) is None
    name = next(iter(arguments))
    shared = np.zeros(X.size + y.size, X.dtype)
    inputs = shared[: arguments[name].size].reshape(arguments[name].shape)
    overlap = shared[inputs.size - 1 :][: y.size].reshape(y.shape)
    assert short(operation, {**arguments, name: inputs, "out": overlap}) is None


def test_short_way_leaves_codes_outside_the_image() -> None:
    for code in (-1, X[0].size):
        codes = np.full_like(ARGMAX, code)
        assert (
            short("max_pool2d_gradient", {**CALLS["max_pool2d_gradient"], "argmax": codes}) is None
        )


OPTIONS = [
    {},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"padding": "same", "strides": (3, 1)},
    {"padding": 1},
    {"padding": (0, 1), "strides": (1, 2)},
    {"padding": ((1, 0), (0, 1)), "strides": 3},
    {"dilation_rate": (2, 1), "padding": "same"},
    {"dilation_rate": 3, "padding": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("operation", ["conv2d", "max_pool2d", "average_pool2d"])
def test_short_way_equals_the_longer_one(operation: str, dtype: Any, options: Any) -> None:
    arguments = {**CALLS[operation], **options, "pool_size": (3, 2), "x": X.astype(dtype)}
    if operation == "conv2d":
        arguments.update({name: arguments[name].astype(dtype) for name in ("kernel", "bias")})
        del arguments["pool_size"]
    elif operation == "average_pool2d" and "dilation_rate" in options:
        return
    y = short(operation, arguments)
    assert_same_bits(y, longer(operation, arguments))
    if operation == "max_pool2d":
        arguments["return_argmax"] = True
        maxima, codes = short(operation, arguments)
        for actual, expected in zip((maxima, codes), longer(operation, arguments), strict=True):
            assert_same_bits(actual, expected)
        gradient = {"grad": y, "argmax": codes, "input_shape": X.shape, **LAST}
        dx = short("max_pool2d_gradient", gradient)
        assert_same_bits(dx, longer("max_pool2d_gradient", gradient))
    if operation == "average_pool2d":
        window = {name: arguments[name] for name in ("pool_size", "strides", "padding")}
        gradient = {"grad": y, "input_shape": X.shape, **window, **LAST}
        dx = short("average_pool2d_gradient", gradient)
        assert_same_bits(dx, longer("average_pool2d_gradient", gradient))


def test_short_way_takes_images_of_channels_first() -> None:
    for options in OPTIONS:
        arguments = {**CALLS["conv2d"], **options, "data_format": "channels_first"}
        arguments["x"] = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
        assert_same_bits(short("conv2d", arguments), longer("conv2d", arguments))


def test_short_way_takes_gradients_of_channels_first() -> None:
    def planes(images: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))

    shape = planes(X).shape
    arguments = {"grad": planes(GRAD), "argmax": planes(ARGMAX), "input_shape": shape, **LAST}
    arguments["data_format"] = "channels_first"
    dx = short("max_pool2d_gradient", arguments)
    assert_same_bits(dx, longer("max_pool2d_gradient", arguments))
    assert_same_bits(dx, planes(short("max_pool2d_gradient", CALLS["max_pool2d_gradient"])))
    for wrong in ((2, 9, 8, 5), (2, 4, 9, 8), (1, 5, 9, 8)):
        assert short("max_pool2d_gradient", {**arguments, "input_shape": wrong}) is None
    # The code of another channel: the longer way sees to it.
    arguments["argmax"] = arguments["argmax"] + 1
    arguments["argmax"][arguments["argmax"] >= X[0].size] = 0
    assert short("max_pool2d_gradient", arguments) is None
    assert longer("max_pool2d_gradient", arguments).shape == shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (1, 1), (2, 1), (3, 5), (9, 11), (33, 32)])
def test_short_way_takes_gradients_of_global_means_of_channels_first(
    height: int, width: int, dtype: Any
) -> None:
    shape = (3, 683, height, width)
    grad = reals(6, 3, 683, 1, 1).astype(dtype)
    grad[0, :3] = np.array([np.nan, np.inf, 0]).reshape(3, 1, 1)
    arguments = {"grad": grad, "input_shape": shape, "pool_size": (height, width), **WINDOWS}
    arguments |= {**LAST, "data_format": "channels_first"}
    dx = short("average_pool2d_gradient", arguments)
    assert dx.shape == shape
    np.testing.assert_array_equal(dx, np.broadcast_to(grad / dtype(height * width), shape))
    assert_same_bits(dx, longer("average_pool2d_gradient", arguments))
    assert short("average_pool2d_gradient", {**arguments, "padding": 1}) is None
    for wrong in ((3, 683, height + 1, width), (3, 682, height, width), (2, 683, height, width)):
        assert short("average_pool2d_gradient", {**arguments, "input_shape": wrong}) is None


@pytest.mark.parametrize("name", GRADIENTS)
def test_short_way_of_gradients_leaves_what_is_not_plain(name: str) -> None:
    assert short("conv2d_gradients", GRADIENTS) is not None
    wrong = [["x"], "x", (), ("bias",), ("y",), ("x", 1), ("x", b"kernel"), None]
    given = GRADIENTS["x"][..., :1] if name == "out" else GRADIENTS[name]
    values = wrong if name == "wrt" else not_plain(name, given)
    if name == "out":
        values = [given, (None, None, None), ops.conv2d_gradients(**GRADIENTS)]
    for value in values:
        for wrt in (("x",), ("kernel",)):
            assert short("conv2d_gradients", {**GRADIENTS, "wrt": wrt, name: value}) is None


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wrt", [("x",), ("kernel",), ("kernel", "bias"), ("bias", "x", "kernel")])
def test_short_way_of_gradients_equals_the_longer_one(
    wrt: tuple[str, ...], dtype: Any, options: Any
) -> None:
    arguments = {**GRADIENTS, **options, "wrt": wrt}
    arguments |= {name: arguments[name].astype(dtype) for name in ("x", "kernel")}
    size = ops.conv2d(arguments["x"], arguments["kernel"], **options).shape
    arguments["grad"] = reals(5, *size).astype(dtype)
    planes = {name: arguments[name].transpose(0, 3, 1, 2).copy() for name in ("x", "grad")}
    for given in (arguments, {**arguments, **planes, "data_format": "channels_first"}):
        gradients = short("conv2d_gradients", given)
        if "bias" in wrt and given is not arguments:
            assert gradients is None
            continue
        for actual, expected in zip(gradients, longer("conv2d_gradients", given), strict=True):
            if expected is None:
                assert actual is None
            else:
                assert_same_bits(actual, expected)
