"""Memory of a call: arrays as the core wants them, results, and the two data formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from fastconv import _core
from fastconv._arrays import check_out
from fastconv._errors import type_error
from fastconv._shapes import normalize_int
from fastconv._types import Conv2DGradients, FloatArray

if TYPE_CHECKING:
    from collections.abc import Sequence

INT64 = np.dtype(np.int64)

_Scalar = TypeVar("_Scalar", bound=np.generic)


def core_threads(operation: str, num_threads: int | None) -> int:
    """`num_threads` as the core takes it: 0 is the default."""
    return 0 if num_threads is None else normalize_int(operation, "num_threads", num_threads)


def allocate(operation: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An uninitialised array on pooled memory.

    Raises:
        MemoryError: also for sizes beyond 64 bits, which the core cannot even be asked for.
    """
    try:
        return _core.empty(shape, dtype)
    except (MemoryError, TypeError):
        message = f"{operation}: cannot allocate an array of shape {shape} and dtype {dtype}"
        raise MemoryError(message) from None


def packed(operation: str, array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """`array`, or a copy of it if it is not C-contiguous and aligned."""
    flags = array.flags
    # One look at what nearly all arrays are: these two and writeable.
    if flags.carray or (flags.c_contiguous and flags.aligned):
        return array
    copy = allocate(operation, array.shape, array.dtype)
    np.copyto(copy, array)
    return copy


def result(
    operation: str,
    out: FloatArray | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: Sequence[npt.NDArray[Any]],
    *,
    argument: str = "out",
    in_place: bool = False,
) -> FloatArray:
    """`out` if it can take the result, a new array if there is none."""
    if out is None:
        return allocate(operation, shape, dtype)
    return check_out(operation, out, shape, dtype, inputs, argument=argument, in_place=in_place)


def gradient_results(
    operation: str,
    out: Conv2DGradients | None,
    wrt: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    dtype: np.dtype[Any],
    inputs: Sequence[npt.NDArray[Any]],
) -> Conv2DGradients:
    """The arrays for the gradients named in `wrt`, None for the others."""
    if out is None:
        out = Conv2DGradients(None, None, None)
    elif not isinstance(out, tuple) or len(out) != 3:
        raise type_error(operation, "out", "has the wrong type", "Conv2DGradients", type(out))
    results: list[FloatArray | None] = []
    taken = list(inputs)
    for name, given, shape in zip(Conv2DGradients._fields, out, shapes, strict=True):
        if name not in wrt:
            results.append(None)
            continue
        array = result(operation, given, shape, dtype, taken, argument=f"out.{name}")
        taken.append(array)
        results.append(array)
    return Conv2DGradients(*results)


def is_planar(data_format: str, *images: npt.NDArray[Any]) -> bool:
    """Whether the core is to take the images as (N, C, H, W): not if their memory is NHWC."""
    return data_format == "channels_first" and all(image.flags.c_contiguous for image in images)


def planes(images: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Packed (N, C, H, W) images as N * C images of one channel, for what takes channels apart."""
    batch, channels, height, width = images.shape
    return images.reshape(batch * channels, height, width, 1)


def channels_last(
    operation: str, images: npt.NDArray[_Scalar], data_format: str, threads: int
) -> npt.NDArray[_Scalar]:
    """`images` as a packed (N, H, W, C) array."""
    if data_format == "channels_last":
        return packed(operation, images)
    view = images.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous and view.flags.aligned:
        return view
    converted = allocate(operation, view.shape, images.dtype)
    batch, channels, height, width = images.shape
    _transpose(
        packed(operation, images).reshape(batch, channels, height * width),
        converted.reshape(batch, height * width, channels),
        threads,
    )
    return converted


def channels_last_buffer(
    operation: str, y: npt.NDArray[_Scalar], data_format: str
) -> npt.NDArray[_Scalar]:
    """Where to compute the (N, H, W, C) form of the result `y`; `store` then completes `y`."""
    if data_format == "channels_last":
        return y
    view = y.transpose(0, 2, 3, 1)
    return view if view.flags.c_contiguous else allocate(operation, view.shape, y.dtype)


def store(
    buffer: npt.NDArray[_Scalar], y: npt.NDArray[_Scalar], data_format: str, threads: int
) -> None:
    """Convert what was computed in a `channels_last_buffer` of `y`, unless it is `y`'s memory."""
    if data_format == "channels_last" or np.may_share_memory(buffer, y):
        return
    batch, channels, height, width = y.shape
    _transpose(
        buffer.reshape(batch, height * width, channels),
        y.reshape(batch, channels, height * width),
        threads,
    )


def _transpose(x: npt.NDArray[_Scalar], y: npt.NDArray[_Scalar], threads: int) -> None:
    # Elements are moved, not computed with, so that int64 codes may travel as float64.
    dtype = np.float64 if x.dtype == INT64 else x.dtype
    _core.transpose_planes(x.view(dtype), y.view(dtype), threads)
