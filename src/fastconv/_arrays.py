"""Checks of array arguments, the same for `ops` and `reference`. Nothing is cast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from fastconv._errors import type_error, value_error
from fastconv._types import FloatArray, IntArray

_NDARRAY = np.ndarray
_FLOAT32 = np.dtype(np.float32)
_FLOATS = (_FLOAT32, np.dtype(np.float64))
_INT64 = np.dtype(np.int64)


def as_array(operation: str, argument: str, value: object) -> npt.NDArray[np.generic]:
    """`value` as an ndarray, sharing its memory where the array protocols allow it.

    Raises:
        TypeError: not an array, a masked array, or memory of another device.
    """
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        rule = "must not be a masked array"
        raise type_error(operation, argument, rule, "an array, such as value.filled(0)", "a mask")
    protocols = ("__array__", "__array_interface__", "__array_struct__")
    has_protocol = any(hasattr(value, name) for name in protocols)
    if not (has_protocol or hasattr(value, "__dlpack__")):
        expected = "numpy.asarray(value, dtype=numpy.float32) or the like"
        raise type_error(operation, argument, "must be an array", expected, type(value).__name__)
    try:
        return np.asarray(value) if has_protocol else np.from_dlpack(value)  # type: ignore[arg-type]
    except (BufferError, RuntimeError) as error:
        rule, expected = "cannot be read as an array", "memory of the CPU"
        raise type_error(operation, argument, rule, expected, error) from error


def float_array(
    operation: str,
    argument: str,
    value: object,
    *,
    rank: int | None = None,
    dtype: np.dtype[np.floating] | None = None,
) -> FloatArray:
    """`value` as a float32 or float64 array of `rank` axes; `dtype` is that of the first input.

    Raises:
        TypeError: another dtype, or one that differs from `dtype`.
        ValueError: another number of axes.
    """
    array: FloatArray = value  # type: ignore[assignment]
    if type(value) is not _NDARRAY:
        array = as_array(operation, argument, value)  # type: ignore[assignment]
    own = array.dtype
    # The objects themselves are those of native arrays, and much faster to compare.
    if own is not _FLOAT32 and (own not in _FLOATS or not own.isnative):
        rule = "is not cast silently"
        expected = "float32 or float64, such as value.astype(np.float32)"
        raise type_error(operation, argument, rule, expected, own)
    if dtype is not None and own is not dtype and own != dtype:
        rule = "must have the dtype of the first input"
        raise type_error(operation, argument, rule, dtype, array.dtype)
    if rank is not None and array.ndim != rank:
        rule = f"must have {rank} axes"
        raise value_error(operation, argument, rule, f"{rank}-D", f"shape {array.shape}")
    return array


def bias_array(
    operation: str, bias: object, size: int, dtype: np.dtype[np.floating]
) -> FloatArray | None:
    """`bias` as an array `(size,)` of `dtype`; None stays None."""
    if bias is None:
        return None
    array = float_array(operation, "bias", bias, rank=1, dtype=dtype)
    check_shape(operation, "bias", array.shape, (size,))
    return array


def argmax_array(operation: str, value: object, shape: tuple[int, ...]) -> IntArray:
    """`value` as int64 codes of maxima, of `shape`; their range is not checked."""
    array = as_array(operation, "argmax", value)
    if array.dtype is not _INT64 and (array.dtype != _INT64 or not array.dtype.isnative):
        raise type_error(operation, "argmax", "has the wrong dtype", "int64", array.dtype)
    check_shape(operation, "argmax", array.shape, shape)
    return array if array.dtype is _INT64 else array.view(_INT64)  # type: ignore[return-value]


def check_argmax_range(operation: str, argmax: IntArray, cells: int) -> None:
    """Refuse codes outside 0 .. cells - 1, the cells of an image."""
    if argmax.size and (argmax.min() < 0 or argmax.max() >= cells):
        rule, received = "points outside the image", f"{argmax.min()} .. {argmax.max()}"
        raise value_error(operation, "argmax", rule, f"0 .. {cells - 1}", received)


def check_shape(
    operation: str, argument: str, shape: Sequence[int], expected: tuple[int, ...]
) -> None:
    """Refuse a shape other than `expected`."""
    if tuple(shape) != expected:
        raise value_error(operation, argument, "has the wrong shape", expected, tuple(shape))


def check_out(
    operation: str,
    out: object,
    shape: tuple[int, ...],
    dtype: np.dtype[np.floating],
    inputs: Iterable[npt.NDArray[np.generic]],
    *,
    argument: str = "out",
    in_place: bool = False,
) -> FloatArray:
    """`out` if it can take the result.

    It must be an ndarray of exactly this shape and dtype, C-contiguous, aligned and writeable, and
    not overlap an input (`in_place`: or *be* the input, for elementwise operations).

    Raises:
        TypeError: not an ndarray, or another dtype.
        ValueError: another shape, or memory that cannot be written.
    """
    if type(out) is not _NDARRAY and (
        not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray)
    ):
        raise type_error(operation, argument, "must be an array", "numpy.ndarray", type(out))
    own = out.dtype
    if own is not dtype and (own != dtype or not own.isnative):
        raise type_error(operation, argument, "has the wrong dtype", dtype, own)
    if out.shape != shape:
        check_shape(operation, argument, out.shape, shape)
    flags = out.flags
    if not flags.carray:
        rule, expected = "cannot be filled", "C-contiguous, aligned, writeable memory"
        received = ", ".join(
            name
            for name, fine in (
                ("not contiguous", flags.c_contiguous),
                ("misaligned", flags.aligned),
                ("read-only", flags.writeable),
            )
            if not fine
        )
        raise value_error(operation, argument, rule, expected, received)
    for array in inputs:
        same = (
            in_place
            and array.__array_interface__["data"] == out.__array_interface__["data"]
            and array.shape == out.shape
            and array.strides == out.strides
        )
        if not same and np.may_share_memory(out, array):
            rule = "overlaps an input"
            raise value_error(operation, argument, rule, "memory of its own", "shared memory")
    return out
