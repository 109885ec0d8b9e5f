"""Which arrays the operations take, and which memory they fill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import ops, reference
from support.arrays import Array, assert_equal, poisoned
from support.calls import Call, flat, out_like, refused, valid_calls, with_arrays

CALLS = valid_calls()


# --- arrays that are taken, and stay as they are ------------------------------------------------


def strange(array: Array, kind: str) -> Array:
    """The same values in another memory layout."""
    shape, dtype = array.shape, array.dtype
    if kind == "fortran":
        return np.asfortranarray(array)
    if kind == "negative strides":
        everything = tuple(slice(None, None, -1) for _ in shape)
        return array[everything].copy()[everything]
    if kind == "every second":
        wide = np.full(tuple(2 * size for size in shape), 77, dtype)
        view = wide[tuple(slice(None, None, 2) for _ in shape)]
        view[...] = array
        return view
    if kind == "misaligned":
        memory = np.zeros(array.nbytes + 1, np.uint8)
        view = memory[1:].view(dtype).reshape(shape)
        view[...] = array
        assert not view.flags.aligned
        return view
    if kind == "read-only":
        copy = array.copy()
        copy.flags.writeable = False
        return copy
    assert kind == "odd address"
    memory = np.zeros(array.size + 1, dtype)
    view = memory[1:].reshape(shape)
    view[...] = array
    return view


@pytest.mark.parametrize(
    "kind",
    ["fortran", "negative strides", "every second", "misaligned", "read-only", "odd address"],
)
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_layouts(call: Call, kind: str) -> None:
    views = {name: strange(array, kind) for name, array in call.arrays.items()}
    results = flat(call.run(ops, **views))
    for actual, expected in zip(results, flat(call.run(ops)), strict=True):
        assert_equal(actual, expected)
    for name, array in call.arrays.items():
        assert_equal(views[name], array, f"{name} was modified")


@pytest.mark.parametrize("strides", [0, 12345, -12345, 2**62])
def test_strides_of_single_elements_do_not_matter(strides: int) -> None:
    x = np.float32([1, 2, 3, 4]).reshape(1, 1, 4, 1)
    odd = np.lib.stride_tricks.as_strided(x, x.shape, (strides, strides, 4, strides))
    assert odd.strides[0] == strides
    kernel = np.ones((1, 2, 1, 1), np.float32)
    assert ops.conv2d(odd, kernel).ravel().tolist() == [3, 5, 7]
    assert ops.max_pool2d(odd, (1, 2)).ravel().tolist() == [2, 4]
    assert ops.conv2d(odd, kernel, data_format="channels_last", padding="same").shape == x.shape


def test_overlapping_elements() -> None:
    row = np.arange(6, dtype=np.float32)
    x = np.lib.stride_tricks.as_strided(row, (3, 4), (4, 4))
    expected = np.array(x)
    assert_equal(ops.matmul(x, np.eye(4, dtype=np.float32)), expected)
    broadcast = np.broadcast_to(np.float32(2), (1, 3, 3, 1))
    assert_equal(ops.max_pool2d(broadcast, 3), np.full((1, 1, 1, 1), 2, np.float32))
    assert row.tolist() == [0, 1, 2, 3, 4, 5]


class Exporter:
    """An array of another library: an object with one protocol and nothing else."""

    def __init__(self, array: Array, protocol: str) -> None:
        self.array = array
        if protocol == "__dlpack__":
            self.__class__ = DLPackExporter
        else:
            self.__array_interface__ = array.__array_interface__


class DLPackExporter(Exporter):
    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("protocol", ["__dlpack__", "__array_interface__"])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_arrays_of_other_libraries(call: Call, protocol: str) -> None:
    others = {name: Exporter(array, protocol) for name, array in call.arrays.items()}
    results = flat(call.run(ops, **others))
    for actual, expected in zip(results, flat(call.run(ops)), strict=True):
        assert_equal(actual, expected)


def test_other_libraries_share_their_memory() -> None:
    from fastconv._arrays import float_array
    from fastconv.ops._memory import packed

    array = np.ones((2, 3), np.float32)
    for protocol in ("__dlpack__", "__array_interface__"):
        taken = packed("f", float_array("f", "x", Exporter(array, protocol)))
        assert np.shares_memory(taken, array)


# --- out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_out_is_filled_and_returned(call: Call) -> None:
    expected = call.run(ops)
    out = out_like(expected, lambda array: poisoned(array.shape, array.dtype))
    results = call.run(ops, out=out)
    for given, actual, wanted in zip(flat(out), flat(results), flat(expected), strict=True):
        assert actual is given
        assert_equal(actual, wanted)


def bad_outs() -> dict[str, tuple[type[Exception], Any]]:
    def misaligned(array: Array) -> Array:
        return np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)

    def read_only(array: Array) -> Array:
        copy = array.copy()
        copy.flags.writeable = False
        return copy

    return {
        "list": (TypeError, lambda array: array.tolist()),
        "masked": (TypeError, np.ma.masked_array),
        "float64": (TypeError, lambda array: array.astype(np.float64)),
        "swapped": (TypeError, lambda array: array.astype(">f4")),
        "wrong size": (ValueError, lambda array: np.zeros((*array.shape[:-1], 99), array.dtype)),
        "wrong rank": (ValueError, lambda array: array[None].copy()),
        "strided": (ValueError, lambda array: strange(array, "every second")),
        "misaligned": (ValueError, misaligned),
        "read-only": (ValueError, read_only),
    }


@pytest.mark.parametrize("bad", bad_outs())
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_bad_out(call: Call, bad: str) -> None:
    exception, convert = bad_outs()[bad]
    refused(exception, call, "out", out=out_like(call.run(ops), convert))


@pytest.mark.parametrize(("call", "name"), with_arrays(CALLS, "f", "i"))
def test_out_must_not_overlap_an_input(call: Call, name: str) -> None:
    original = call.arrays[name]
    for index, wanted in enumerate(flat(call.run(ops))):
        # The last element of the input is the first of the output.
        memory = np.zeros(original.nbytes + wanted.nbytes, np.uint8)
        view = memory[: original.nbytes].view(original.dtype).reshape(original.shape)
        view[...] = original
        start = original.nbytes - wanted.itemsize
        overlapping = memory[start : start + wanted.nbytes].view(wanted.dtype)
        overlapping = overlapping.reshape(wanted.shape)
        before = view.copy()
        outs = [poisoned(array.shape, array.dtype) for array in flat(call.run(ops))]
        outs[index] = overlapping
        replacements = iter(outs)
        out = out_like(call.run(ops), lambda _, replacements=replacements: next(replacements))
        refused(ValueError, call, "out", "overlap", **{name: view, "out": out})
        assert_equal(view, before)


@pytest.mark.parametrize("operation", ["conv2d_gradients", "conv2d_max_pool2d_gradients"])
def test_gradients_must_not_overlap_each_other(operation: str) -> None:
    call = next(call for call in CALLS if call.operation == operation)
    memory = np.zeros(200, np.float32)
    gradients = ops.Conv2DGradients(
        memory[:120].reshape(2, 5, 6, 2), memory[100:172].reshape(3, 3, 2, 4), None
    )
    refused(ValueError, call, "out.kernel", out=gradients)


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("relu", "x"),
        ("relu_gradient", "grad"),
        ("relu_gradient", "y"),
        ("softmax", "x"),
        ("log_softmax", "x"),
        ("dropout", "x"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elementwise_operations_work_in_place(operation: str, name: str, dtype: Any) -> None:
    call = next(call for call in valid_calls(dtype) if call.operation == operation)
    expected = call.run(ops)
    array = call.arrays[name].copy()
    assert call.run(ops, **{name: array, "out": array}) is array
    assert_equal(array, expected)


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", [5 * 10**8, 2**31 - 1])
def test_more_windows_than_memory(data_format: Any, padding: int) -> None:
    x = np.zeros((1, 1, 1, 1), np.float32)
    with pytest.raises(MemoryError, match=r"^conv2d: cannot allocate .* float32"):
        ops.conv2d(x, x, padding=padding, data_format=data_format)
    # A dimension beyond 64 bits.
    empty = np.zeros((0, 2**40, 1, 1), np.float32)
    with pytest.raises(MemoryError, match=r"^conv2d_transpose: cannot allocate"):
        ops.conv2d_transpose(empty, x, strides=2**31 - 1)


def test_more_than_two_to_the_31_elements() -> None:
    height, width = 2**21, 1030
    try:
        # Pages that nobody writes to take no memory.
        x = np.zeros((1, height, width, 1), np.float32)
    except MemoryError:
        pytest.skip("this system does not give out that many addresses")
    assert x.size > 2**31
    x[0, -2:, -2:, 0] = [[1, 2], [4, 3]]
    steps = (height - 2, width - 2)
    y, argmax = ops.max_pool2d(x, 2, strides=steps, return_argmax=True)
    assert y.ravel().tolist() == [0, 0, 0, 4]
    assert argmax.ravel().tolist() == [
        0,
        width - 2,
        (height - 2) * width,
        (height - 1) * width + width - 2,
    ]
    kernel = np.float32([[1, 10], [100, 1000]]).reshape(2, 2, 1, 1)
    assert ops.conv2d(x, kernel, strides=steps).ravel().tolist() == [0, 0, 0, 3421]
    assert ops.average_pool2d(x, 2, strides=steps).ravel().tolist() == [0, 0, 0, 2.5]
    grad = np.ones((1, 2, 2, 1), np.float32)
    gradients = ops.conv2d_gradients(x, kernel, grad, strides=steps, wrt=("kernel",))
    assert gradients.kernel is not None
    assert gradients.kernel.ravel().tolist() == [1, 2, 4, 3]


def test_huge_steps_inside_one_window() -> None:
    huge = 2**31 - 1
    x = np.float32([1, 2, 3, 4]).reshape(1, 2, 2, 1)
    one = np.ones((1, 1, 1, 1), np.float32)
    assert ops.conv2d(x, one, strides=huge).ravel().tolist() == [1]
    assert_equal(ops.conv2d(x, one, dilation_rate=huge), x)
    assert ops.max_pool2d(x, 2, strides=huge).ravel().tolist() == [4]
    assert ops.average_pool2d(x, 2, strides=huge).ravel().tolist() == [2.5]
    grad = np.ones((1, 1, 1, 1), np.float32)
    gradients = ops.conv2d_gradients(x, one, grad, strides=huge)
    assert [gradient.ravel().tolist() for gradient in gradients] == [[1, 0, 0, 0], [1], [1]]


def test_codes_may_name_any_cell_of_the_image() -> None:
    # Codes of another channel than their own, and all of one cell.
    for call in CALLS:
        if "argmax" in call.arrays:
            for code in (0, 1, 47):
                codes = np.full(call.arrays["argmax"].shape, code)
                results = flat(call.run(ops, argmax=codes))
                for actual, expected in zip(
                    results, flat(call.run(reference, argmax=codes)), strict=True
                ):
                    assert_equal(actual, expected)
