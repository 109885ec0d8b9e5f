"""The core itself refuses what memory safety forbids."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fastconv import _core
from support.arrays import Array, guarded_copy

# --- arrays -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Native:
    """A valid call of the core: positional arguments, and which of them are filled."""

    name: str
    arguments: tuple[Any, ...]
    outputs: tuple[int, ...]
    in_place: bool = False

    def __str__(self) -> str:
        return self.name

    def run(self, changes: dict[int, Any] | None = None) -> None:
        arguments = [
            argument.copy() if isinstance(argument, np.ndarray) else argument
            for argument in self.arguments
        ]
        for position, value in (changes or {}).items():
            arguments[position] = value
        getattr(_core, self.name)(*arguments)

    def arrays(self) -> dict[int, Array]:
        return {
            position: argument
            for position, argument in enumerate(self.arguments)
            if isinstance(argument, np.ndarray)
        }


def floats(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def codes(*shape: int) -> Array:
    return np.zeros(shape, np.int64)


def bits(count: int) -> Array:
    return np.zeros(count, np.uint8)


# With strides 1 no size can change without another one.
CONV = (1, 1, 1, 1, 1, 0, 0, 1, 2)
POOL = (2, 3, 1, 1, 1, 1, 0, 0, 0, 0)
X, KERNEL, BIAS, Y = floats(2, 5, 6, 4), floats(2, 3, 2, 6), floats(6), floats(2, 5, 5, 6)
POOLED, CODES = floats(2, 4, 3, 6), codes(2, 4, 3, 6)
IMAGE = 5 * 5 * 6

NATIVE = [
    Native("conv2d", (X, KERNEL, BIAS, Y, CONV, True, 1), (3,)),
    Native("conv2d_input_gradient", (Y, KERNEL, floats(4), X, CONV, False, 1), (3,)),
    Native("conv2d_kernel_gradient", (X, Y, KERNEL, CONV, 1), (2,)),
    Native("bias_gradient", (Y, BIAS, 1), (1,)),
    Native("max_pool2d", (Y, POOLED, CODES, POOL, 1), (1, 2)),
    Native("max_pool2d_gradient", (POOLED, CODES, Y, 1), (2,)),
    Native("average_pool2d", (Y, POOLED, POOL, 1), (1,)),
    Native("average_pool2d_gradient", (POOLED, Y, POOL, 1), (1,)),
    Native(
        "conv2d_max_pool2d",
        (X, KERNEL, BIAS, POOLED, CODES, CONV, POOL, True, 1),
        (3, 4),
    ),
    Native(
        "conv2d_max_pool2d_gradients",
        (X, KERNEL, POOLED, CODES, POOLED, X, KERNEL, BIAS, CONV, POOL, True, 1),
        (5, 6, 7),
    ),
    Native(
        "matmul", (floats(3, 4), floats(4, 5), BIAS[:5], floats(3, 5), False, False, True, 1), (3,)
    ),
    Native("relu", (floats(3, 5), floats(3, 5), 1), (1,), in_place=True),
    Native("relu_gradient", (floats(3, 5), floats(3, 5), floats(3, 5), 1), (2,), in_place=True),
    Native("softmax", (floats(3, 5), floats(3, 5), 1), (1,), in_place=True),
    Native("log_softmax", (floats(3, 5), floats(3, 5), 1), (1,), in_place=True),
    Native("softmax_cross_entropy", (floats(3, 5), codes(3), floats(3), floats(3, 5), 1), (2, 3)),
    Native(
        "softmax_cross_entropy", (floats(3, 5), floats(3, 5), floats(3), floats(3, 5), 1), (2, 3)
    ),
    Native("dropout", (floats(3, 5), floats(3, 5), bits(2), 0.5, 1, 2, 1), (1, 2), in_place=True),
    Native("dropout_gradient", (floats(3, 5), bits(2), floats(3, 5), 0.5, 1), (2,), in_place=True),
    Native("adam_step", (*[floats(5) for _ in range(5)], 0.1, 0.01, 1e-7, 1e-3, 1), (1, 2, 3, 4)),
    Native("transpose_planes", (floats(2, 3, 5), floats(2, 5, 3), 1), (1,)),
]

# Sums over rows take any number of rows; codes are checked one by one, in an image of any size.
FREE_AXES = {("bias_gradient", 0): (0, 1, 2), ("max_pool2d_gradient", 2): (1, 2)}

ARRAYS = [
    pytest.param(native, position, id=f"{native}-{position}")
    for native in NATIVE
    for position in native.arrays()
]


def refused(native: Native, changes: dict[int, Any], *exceptions: type[Exception]) -> str:
    with pytest.raises(exceptions or (ValueError, TypeError)) as caught:
        native.run(changes)
    return str(caught.value)


@pytest.mark.parametrize("native", NATIVE, ids=str)
def test_valid(native: Native) -> None:
    """The table is one of valid calls, so that the refusals below have the reason they name."""
    native.run()
    doubles = {
        position: array.astype(np.float64)
        for position, array in native.arrays().items()
        if array.dtype == np.float32
    }
    native.run(doubles)


@pytest.mark.parametrize("value", [None, [1.0], 1.0, "x", np.float32(1)], ids=repr)
@pytest.mark.parametrize(("native", "position"), ARRAYS)
def test_no_array(native: Native, position: int, value: Any) -> None:
    optional = {
        "conv2d": (2,),
        "conv2d_input_gradient": (2,),
        "max_pool2d": (2,),
        "conv2d_max_pool2d": (2, 4),
        "conv2d_max_pool2d_gradients": (5, 6, 7),
        "matmul": (2,),
        "dropout": (2,),
        "adam_step": (3,),
    }
    if value is None and position in optional.get(native.name, ()):
        native.run({position: None})
    else:
        refused(native, {position: value}, TypeError)


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float16, np.int32, np.uint64, bool, object, "c8", ">f4", ">i8", "V4"]
)
@pytest.mark.parametrize(("native", "position"), ARRAYS)
def test_wrong_dtype(native: Native, position: int, dtype: Any) -> None:
    array = native.arrays()[position]
    message = refused(native, {position: np.zeros(array.shape, dtype)})
    assert message.startswith(f"{native.name}: ")
    assert ", received " in message


@pytest.mark.parametrize(("native", "position"), ARRAYS)
def test_wrong_rank(native: Native, position: int) -> None:
    array = native.arrays()[position]
    refused(native, {position: np.zeros((), array.dtype)}, ValueError)
    if (native.name, position) not in FREE_AXES:
        refused(native, {position: array[None].copy()}, ValueError)


@pytest.mark.parametrize("change", [-1, 1, None], ids=["smaller", "larger", "empty"])
@pytest.mark.parametrize(("native", "position"), ARRAYS)
def test_one_size_wrong(native: Native, position: int, change: int | None) -> None:
    array = native.arrays()[position]
    for axis in range(array.ndim):
        if axis in FREE_AXES.get((native.name, position), ()):
            continue
        shape = list(array.shape)
        shape[axis] = 0 if change is None else shape[axis] + change
        refused(native, {position: np.zeros(shape, array.dtype)}, ValueError)


@pytest.mark.parametrize(("native", "position"), ARRAYS)
def test_wrong_memory(native: Native, position: int) -> None:
    array = native.arrays()[position]
    strided = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    assert "C-contiguous" in refused(native, {position: strided}, ValueError)
    if array.itemsize == 1:
        return
    bytes_ = np.zeros(array.nbytes + 1, np.uint8)
    misaligned = bytes_[1:].view(array.dtype).reshape(array.shape)
    assert "aligned" in refused(native, {position: misaligned}, ValueError)


@pytest.mark.parametrize(
    ("native", "position"),
    [
        pytest.param(native, position, id=f"{native}-{position}")
        for native in NATIVE
        for position in native.outputs
    ],
)
def test_wrong_output(native: Native, position: int) -> None:
    array = native.arrays()[position].copy()
    array.flags.writeable = False
    assert "writable" in refused(native, {position: array}, ValueError)
    array = native.arrays()[position]
    for other, input_ in native.arrays().items():
        if other == position:
            continue
        memory = np.zeros(array.nbytes + input_.nbytes, np.uint8)
        first = memory[: input_.nbytes].view(input_.dtype).reshape(input_.shape)
        start = max(0, input_.nbytes - max(array.itemsize, input_.itemsize))
        second = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        assert np.shares_memory(first, second)
        if start % array.itemsize == 0:
            message = refused(native, {other: first, position: second}, ValueError)
            assert "must not share memory" in message


@pytest.mark.parametrize("native", NATIVE, ids=str)
def test_in_place(native: Native) -> None:
    for output in native.outputs:
        array = native.arrays()[output].copy()
        for position, other in native.arrays().items():
            if position == output or (other.shape, other.dtype) != (array.shape, array.dtype):
                continue
            changes = {position: array, output: array}
            if native.in_place:
                native.run(changes)
            else:
                assert "must not share memory" in refused(native, changes, ValueError)


@pytest.mark.parametrize("native", NATIVE, ids=str)
def test_inputs_stay_as_they_are(native: Native) -> None:
    arrays = {position: array.copy() for position, array in native.arrays().items()}
    for position, array in arrays.items():
        array.flags.writeable = position in native.outputs
    native.run(arrays)


# --- integers -----------------------------------------------------------------------------------

HOSTILE = (0, -1, 3, 2**31, 2**32, 2**60, 2**62, 2**63 - 1, -(2**63))


@pytest.mark.parametrize(
    ("native", "position"),
    [
        pytest.param(native, position, id=f"{native}-{position}")
        for native in NATIVE
        for position, argument in enumerate(native.arguments)
        if isinstance(argument, tuple)
    ],
)
def test_geometry(native: Native, position: int) -> None:
    """Geometry either fits the arrays or is refused; guards show that nothing else is written."""
    geometry = native.arguments[position]
    refused(native, {position: geometry[:-1]}, TypeError)
    refused(native, {position: (*geometry, 1)}, TypeError)
    refused(native, {position: None}, TypeError)
    for field, value in itertools.product(range(len(geometry)), (2**63, 1.5, "1", None)):
        refused(native, {position: (*geometry[:field], value, *geometry[field + 1 :])}, TypeError)
    fields = itertools.chain(
        itertools.combinations(range(len(geometry)), 1),
        itertools.combinations(range(len(geometry)), 2),
    )
    for chosen, value in itertools.product(fields, HOSTILE):
        changed = tuple(value if field in chosen else old for field, old in enumerate(geometry))
        guards = {output: guarded_copy(native.arrays()[output]) for output in native.outputs}
        arguments = {output: guard.array for output, guard in guards.items()}
        with contextlib.suppress(ValueError):
            native.run({position: changed, **arguments})
        for guard in guards.values():
            guard.assert_guards_intact()


def test_geometry_of_one_window() -> None:
    """Steps that never are taken may be as large as they like, as far as sizes can be counted."""
    x, y, kernel = floats(1, 2, 2, 1), floats(1, 1, 1, 1), floats(2, 2, 1, 1)
    for stride in (2, 2**31, 2**59, 2**60):
        _core.conv2d(x, kernel, None, y, (stride, stride, 1, 1, 0, 0, 0, 0, 1), False, 1)
        assert y.item() == 4
        _core.max_pool2d(x, y, None, (2, 2, stride, stride, 1, 1, 0, 0, 0, 0), 1)
        assert y.item() == 1
        dx = np.full_like(x, np.nan)
        _core.conv2d_input_gradient(
            y, kernel, None, dx, (stride, stride, 1, 1, 0, 0, 0, 0, 1), False, 1
        )
        assert dx.ravel().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["max_pool2d", "average_pool2d", "average_pool2d_gradient"])
@pytest.mark.parametrize(
    ("length", "size", "stride", "dilation", "before", "after"),
    [
        (3, 2, 1, 1, 2, 0),  # the first window lies before the image
        (3, 2, 1, 1, 0, 2),  # the last one behind it
        (3, 1, 1, 1, 0, 1),
        (1, 2, 1, 2, 1, 2),  # taps to the left and the right of the image, none inside
        (2, 3, 2, 5, 8, 8),
    ],
)
def test_windows_without_a_cell(
    name: str, length: int, size: int, stride: int, dilation: int, before: int, after: int
) -> None:
    windows = (length + before + after - dilation * (size - 1) - 1) // stride + 1
    image, pooled = floats(1, length, 1, 1), floats(1, windows, 1, 1)
    geometry = (size, 1, stride, 1, dilation, 1, before, after, 0, 0)
    arrays = (pooled, image) if name.endswith("gradient") else (image, pooled)
    argmax = (None,) if name == "max_pool2d" else ()
    with pytest.raises(ValueError, match=f"{name}: padding leaves a pooling window without"):
        getattr(_core, name)(*arrays, *argmax, geometry, 1)


@pytest.mark.parametrize("code", [-1, IMAGE, 2**40, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("name", ["max_pool2d_gradient", "conv2d_max_pool2d_gradients"])
def test_codes_outside_the_image(name: str, code: int) -> None:
    native = next(native for native in NATIVE if native.name == name)
    position = next(
        position for position, array in native.arrays().items() if array.dtype == np.int64
    )
    for place in (0, -1):
        bad = CODES.copy()
        bad.reshape(-1)[place] = code
        guards = {output: guarded_copy(native.arrays()[output]) for output in native.outputs}
        changes = {output: guard.array for output, guard in guards.items()}
        assert refused(native, {position: bad, **changes}, ValueError).startswith(f"{name}: ")
        for guard in guards.values():
            guard.assert_guards_intact()


@pytest.mark.parametrize("label", [-1, 5, 2**40, 2**63 - 1, -(2**63)])
def test_labels_outside_the_classes(label: int) -> None:
    native = next(native for native in NATIVE if native.name == "softmax_cross_entropy")
    message = refused(native, {1: np.array([0, 1, label])}, ValueError)
    assert message.startswith("softmax_cross_entropy: ")


@pytest.mark.parametrize("rate", [-0.5, 1.0, 1.5, np.nan, np.inf])
def test_dropout_rate(rate: float) -> None:
    for name in ("dropout", "dropout_gradient"):
        native = next(native for native in NATIVE if native.name == name)
        assert "rate" in refused(native, {3: rate}, ValueError)


@pytest.mark.parametrize("native", NATIVE, ids=str)
@pytest.mark.parametrize("count", [0, -1, -(2**31), 2**31 - 1])
def test_any_number_of_threads(native: Native, count: int) -> None:
    """Numbers below 1 mean the default; numbers beyond all reason are as good as a few."""
    native.run({len(native.arguments) - 1: count})


@pytest.mark.parametrize("native", NATIVE, ids=str)
def test_number_of_threads_beyond_an_int(native: Native) -> None:
    refused(native, {len(native.arguments) - 1: 2**31}, TypeError)


# --- empty --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (5, 7, 3, 1)])
def test_empty(shape: tuple[int, ...], dtype: Any) -> None:
    array = _core.empty(shape, np.dtype(dtype))
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.aligned
    assert array.flags.writeable
    array.fill(7)
    assert array.sum() == 7 * array.size


@pytest.mark.parametrize(
    ("shape", "dtype", "exception"),
    [
        ((-1,), "f4", ValueError),
        ((2, -3), "f4", ValueError),
        ((2**62,), "f4", MemoryError),
        ((2**62, 4), "f4", MemoryError),
        ((2**32, 2**32), "f4", MemoryError),
        ((2**63 - 1, 2**63 - 1, 2**63 - 1), "f8", MemoryError),
        ((2**45,), "f4", MemoryError),
        ((2**63,), "f4", TypeError),
        ((1.5,), "f4", TypeError),
        (("1",), "f4", TypeError),
        ((1,) * 65, "f4", ValueError),
        ((1,), "O", TypeError),
        ((1,), [("a", "f4")], TypeError),
        ((1,), "U0", TypeError),
    ],
)
def test_empty_refuses(shape: Any, dtype: Any, exception: type[Exception]) -> None:
    with pytest.raises(exception):
        _core.empty(shape, np.dtype(dtype))


def test_empty_wants_a_dtype() -> None:
    with pytest.raises(TypeError):
        _core.empty((1,), "f4")  # type: ignore[arg-type]
