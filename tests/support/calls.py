"""One small valid call of every operation, to be varied by tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastconv import ops
from support.arrays import Array, assert_equal, integers

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


@dataclass(frozen=True)
class Call:
    """Arrays and other arguments of one call, by name."""

    operation: str
    arrays: dict[str, Array]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        layout = self.options.get("data_format", "")
        return "-".join(filter(None, (self.operation, layout, *self._flags())))

    def _flags(self) -> list[str]:
        return [name for name in ("transpose_a", "return_argmax") if self.options.get(name)]

    def run(self, module: ModuleType, **changes: Any) -> Any:
        """The result of `module`'s operation, with some arguments replaced."""
        function = getattr(module, self.operation)
        return function(**{**self.arrays, **self.options, **changes})

    def float_names(self) -> list[str]:
        """Names of the arrays of real numbers."""
        return [name for name, array in self.arrays.items() if array.dtype.kind == "f"]


def flat(result: Any) -> list[Array]:
    """The arrays of a result, whatever the operation returns."""
    return list(result) if isinstance(result, tuple) else [result]


def out_like(result: Any, convert: Callable[[Array], Any]) -> Any:
    """An `out` argument of the structure of `result`, each array converted."""
    if not isinstance(result, tuple):
        return convert(result)
    converted = [convert(array) for array in result]
    return type(result)(*converted) if hasattr(result, "_fields") else tuple(converted)


def with_arrays(calls: list[Call], *kinds: str) -> list[Any]:
    """(call, argument) for every array of every call whose dtype is of one of the kinds."""
    return [
        pytest.param(call, name, id=f"{call}-{name}")
        for call in calls
        for name, array in call.arrays.items()
        if array.dtype.kind in kinds
    ]


def refused(exception: type[Exception], call: Call, *words: str, **changes: Any) -> str:
    """The message of a refusal, which must name the operation, both sides, and `words`."""
    inputs = {name: array.copy() for name, array in call.arrays.items()}
    with pytest.raises(exception) as caught:
        call.run(ops, **changes)
    assert caught.type is exception
    message = str(caught.value)
    assert message.startswith(f"{call.operation}: ")
    for word in (", expected ", ", received ", *words):
        assert word in message, message
    for name, array in inputs.items():
        assert_equal(call.arrays[name], array, f"{name} was modified")
    return message


def valid_calls(dtype: Any = np.float32) -> list[Call]:
    """Every operation, image operations in both layouts."""

    def floats(seed: int, *shape: int) -> Array:
        return integers(seed, *shape).astype(dtype)

    calls = [
        Call("matmul", {"a": floats(1, 4, 6), "b": floats(2, 6, 5), "bias": floats(3, 5)}),
        Call(
            "matmul",
            {"a": floats(1, 6, 4), "b": floats(2, 5, 6)},
            {"transpose_a": True, "transpose_b": True, "activation": "relu"},
        ),
        Call("relu", {"x": floats(1, 3, 4, 5)}),
        Call("relu_gradient", {"grad": floats(1, 3, 7), "y": floats(2, 3, 7)}),
        Call("softmax", {"x": floats(1, 2, 3, 5)}),
        Call("log_softmax", {"x": floats(1, 2, 3, 5)}),
        Call("dropout", {"x": floats(1, 5, 7)}, {"rate": 0.5, "seed": 7, "offset": 3}),
        Call(
            "softmax_cross_entropy",
            {"logits": floats(1, 4, 5), "labels": np.array([0, 4, 2, 1])},
        ),
    ]
    for layout in ("channels_last", "channels_first"):

        def image(seed: int, *nhwc: int, layout: str = layout) -> Array:
            array = floats(seed, *nhwc)
            return array if layout == "channels_last" else np.moveaxis(array, 3, 1).copy()

        kernel, bias = floats(2, 3, 3, 2, 4), floats(3, 4)
        conv = {"strides": (1, 2), "padding": "same", "data_format": layout}
        codes = np.arange(2 * 2 * 2 * 3).reshape(image(0, 2, 2, 2, 3).shape) % 48
        fused_codes = np.arange(2 * 2 * 1 * 4).reshape(image(0, 2, 2, 1, 4).shape) % 60
        in_shape = image(0, 2, 4, 4, 3).shape
        pool = {"pool_size": 2, "data_format": layout}
        calls += [
            Call("conv2d", {"x": image(1, 2, 5, 6, 2), "kernel": kernel, "bias": bias}, conv),
            Call(
                "conv2d_gradients",
                {"x": image(1, 2, 5, 6, 2), "kernel": kernel, "grad": image(4, 2, 5, 3, 4)},
                conv,
            ),
            Call("conv2d_transpose", {"x": image(1, 2, 5, 6, 4), "kernel": kernel}, conv),
            Call("max_pool2d", {"x": image(1, 2, 5, 4, 3)}, pool),
            Call(
                "max_pool2d_gradient",
                {"grad": image(1, 2, 2, 2, 3), "argmax": codes},
                {"input_shape": in_shape, "data_format": layout},
            ),
            Call("average_pool2d", {"x": image(1, 2, 5, 4, 3)}, pool),
            Call(
                "average_pool2d_gradient",
                {"grad": image(1, 2, 2, 2, 3)},
                {"input_shape": in_shape, **pool},
            ),
            Call(
                "conv2d_max_pool2d",
                {"x": image(1, 2, 5, 6, 2), "kernel": kernel, "bias": bias},
                conv,
            ),
            Call(
                "conv2d_max_pool2d_gradients",
                {
                    "x": image(1, 2, 5, 6, 2),
                    "kernel": kernel,
                    "grad": image(4, 2, 2, 1, 4),
                    "argmax": fused_codes,
                    "y": image(5, 2, 2, 1, 4),
                },
                conv,
            ),
        ]
    return calls
