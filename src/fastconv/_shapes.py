"""Shape arithmetic and argument normalisation, the same for `ops` and `reference`.

Along one axis, with input size `in`, kernel size `k`, stride `s`, dilation `d`, a window covers
`d * (k - 1) + 1` cells, window `o` starts at `o * s - pad_before`, and its tap `t` reads the cell
`o * s - pad_before + t * d`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fastconv._errors import type_error, value_error
from fastconv._types import IntOrPair, Padding, PaddingPairs, Pair

LARGEST_INT = 2**31 - 1
"""Upper limit of strides, dilation rates, pool sizes and paddings: sums of them fit 64 bits."""


class Windows(NamedTuple):
    """Where the windows of a convolution or a pooling lie, as (vertical, horizontal) pairs."""

    input_size: Pair
    kernel_size: Pair
    strides: Pair
    dilation_rate: Pair
    padding: PaddingPairs
    output_size: Pair


class Conv2DShapes(NamedTuple):
    """All sizes of one convolution; `windows` holds the spatial ones."""

    batch: int
    in_channels: int
    filters: int
    groups: int
    windows: Windows


def normalize_int(operation: str, argument: str, value: object, *, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`; bools and floats are a TypeError."""
    return _checked_int(operation, argument, value, minimum, "int", value)


def normalize_pair(operation: str, argument: str, value: object, *, minimum: int = 1) -> Pair:
    """A scalar or pair as a (vertical, horizontal) pair of ints of at least `minimum`."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        number = normalize_int(operation, argument, value, minimum=minimum)
        return number, number
    if len(value) != 2:
        expected = f"an int or a pair of ints >= {minimum}"
        raise value_error(operation, argument, "must have one or two values", expected, value)
    return (
        _checked_int(operation, argument, value[0], minimum, "ints", value),
        _checked_int(operation, argument, value[1], minimum, "ints", value),
    )


def _checked_int(
    operation: str, argument: str, value: object, minimum: int, noun: str, received: object
) -> int:
    expected = f"{noun} >= {minimum}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        raise type_error(operation, argument, "must be an integer", expected, received)
    if number < minimum:
        rule = "must be positive" if minimum == 1 else "must not be negative"
        raise value_error(operation, argument, rule, expected, received)
    if number > LARGEST_INT:
        raise value_error(operation, argument, "is too large", f"{noun} <= {LARGEST_INT}", received)
    return number


def normalize_padding(operation: str, padding: Padding) -> str | PaddingPairs:
    """`padding` as "valid", "same" or ((top, bottom), (left, right)).

    An int pads all four sides, a pair is (vertical, horizontal).

    >>> normalize_padding("conv2d", (1, 2))
    ((1, 1), (2, 2))
    """
    expected = '"valid", "same", int, (ph, pw) or ((top, bottom), (left, right))'
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise value_error(operation, "padding", "is not known", expected, repr(padding))
        return padding
    if isinstance(padding, Sequence | np.ndarray):
        if len(padding) != 2:
            raise value_error(operation, "padding", "must have two values", expected, padding)
        if all(isinstance(side, Sequence | np.ndarray) for side in padding):
            return (
                _padding_of_axis(operation, padding[0], expected, padding),
                _padding_of_axis(operation, padding[1], expected, padding),
            )
    vertical_pad, horizontal_pad = normalize_pair(operation, "padding", padding, minimum=0)
    return (vertical_pad, vertical_pad), (horizontal_pad, horizontal_pad)


def _padding_of_axis(operation: str, side: object, expected: str, received: object) -> Pair:
    if isinstance(side, str | bytes) or len(side) != 2:  # type: ignore[arg-type]
        raise value_error(operation, "padding", "must have two values a side", expected, received)
    return normalize_pair(operation, "padding", side, minimum=0)


def window_extent(kernel_size: int, dilation_rate: int) -> int:
    """Cells from the first to the last tap of a window, both included."""
    return dilation_rate * (kernel_size - 1) + 1


def output_length(length: int, extent: int, stride: int, *, ceil_mode: bool = False) -> int:
    """Windows that fit in a (padded) length; with `ceil_mode` a partial last one counts."""
    spare = length - extent
    return (-(-spare // stride) if ceil_mode else spare // stride) + 1


def same_padding(length: int, extent: int, stride: int) -> Pair:
    """(before, after) that give ceil(length / stride) windows; the odd cell comes after."""
    total = max(0, (-(-length // stride) - 1) * stride + extent - length)
    return total // 2, total - total // 2


def conv_windows(
    operation: str,
    input_size: Pair,
    kernel_size: Pair,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
) -> Windows:
    """The windows of a convolution. A size below 1 is a ValueError."""
    step = normalize_pair(operation, "strides", strides)
    dilation = normalize_pair(operation, "dilation_rate", dilation_rate)
    sides = resolve_padding(operation, padding, input_size, kernel_size, step, dilation)
    output = output_size(operation, input_size, kernel_size, step, dilation, sides)
    return Windows(input_size, kernel_size, step, dilation, sides, output)


def resolve_padding(
    operation: str,
    padding: Padding,
    input_size: Pair,
    kernel_size: Pair,
    strides: Pair,
    dilation_rate: Pair,
) -> PaddingPairs:
    """`padding` as cells on each side."""
    normal = normalize_padding(operation, padding)
    if normal == "valid":
        return (0, 0), (0, 0)
    if isinstance(normal, str):
        first, second = (
            same_padding(input_size[axis], window_extent(kernel_size[axis], dilation), stride)
            for axis, (stride, dilation) in enumerate(zip(strides, dilation_rate, strict=True))
        )
        return first, second
    return normal


def output_size(
    operation: str,
    input_size: Pair,
    kernel_size: Pair,
    strides: Pair,
    dilation_rate: Pair,
    padding: PaddingPairs,
) -> Pair:
    """The number of whole windows. Below 1 it is a ValueError."""
    extents = [window_extent(k, d) for k, d in zip(kernel_size, dilation_rate, strict=True)]
    padded = [length + sum(sides) for length, sides in zip(input_size, padding, strict=True)]
    if min(input_size) < 1 or padded[0] < extents[0] or padded[1] < extents[1]:
        rule = "give an output size below 1"
        expected = f"at least {tuple(extents)} cells after padding {padding}"
        raise value_error(operation, "the height and width of x", rule, expected, input_size)
    return (
        output_length(padded[0], extents[0], strides[0]),
        output_length(padded[1], extents[1], strides[1]),
    )


def conv_transpose_windows(
    operation: str,
    input_size: Pair,
    kernel_size: Pair,
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    output_padding: IntOrPair | None = None,
    dilation_rate: IntOrPair = 1,
) -> Windows:
    """The windows of the convolution whose input gradient is the transposed convolution.

    So `input_size` of the result is the size of the *large* image, `output_size` the argument.
    With `in`, `s` and the window's extent `e` the large side is

    * "valid": `(in - 1) * s + max(e, s)`, or `(in - 1) * s + e + output_padding`;
    * "same": `in * s`, or `(in - 1) * s + e % 2 + output_padding`; the windows overlap the large
      image by half of what is left over, the odd cell at the end;
    * explicit: `(in - 1) * s + e - before - after + output_padding`.

    Source: `compute_conv_transpose_output_length` of Keras 3 for the strings, PyTorch's
    `ConvTranspose2d` for explicit padding.
    """
    step = normalize_pair(operation, "strides", strides)
    dilation = normalize_pair(operation, "dilation_rate", dilation_rate)
    normal = normalize_padding(operation, padding)
    extra: tuple[int, int] | tuple[None, None] = (None, None)
    if output_padding is not None:
        extra = normalize_pair(operation, "output_padding", output_padding, minimum=0)
        if extra[0] >= step[0] or extra[1] >= step[1]:
            rule = "must be below strides"
            raise value_error(operation, "output_padding", rule, f"below {step}", output_padding)
    sizes, sides = [], []
    for axis in (0, 1):
        extent = window_extent(kernel_size[axis], dilation[axis])
        explicit = normal if isinstance(normal, str) else normal[axis]
        size, side = _transposed_axis(input_size[axis], extent, step[axis], explicit, extra[axis])
        sizes.append(size)
        sides.append(side)
    if min(sizes) < 1 or min(input_size) < 1:
        rule = "gives an output size below 1"
        raise value_error(operation, "padding", rule, "an output size >= 1", tuple(sizes))
    large, around = (sizes[0], sizes[1]), (sides[0], sides[1])
    return Windows(large, kernel_size, step, dilation, around, input_size)


def _transposed_axis(
    length: int, extent: int, stride: int, padding: str | Pair, extra: int | None
) -> tuple[int, Pair]:
    covered = (length - 1) * stride + extent
    if not isinstance(padding, str):
        return covered - sum(padding) + (extra or 0), padding
    if padding == "valid":
        return covered + (max(0, stride - extent) if extra is None else extra), (0, 0)
    size = length * stride if extra is None else covered - extent + extent % 2 + extra
    overhang = max(0, covered - size)
    return size, (overhang // 2, overhang - overhang // 2)


def check_data_format(operation: str, data_format: str) -> None:
    """Refuse anything but the two known layouts."""
    if data_format not in ("channels_last", "channels_first"):
        expected = '"channels_last" or "channels_first"'
        raise value_error(operation, "data_format", "is not known", expected, repr(data_format))


def check_activation(operation: str, activation: str | None) -> None:
    """Refuse an activation that the operations do not fuse."""
    if activation not in (None, "linear", "relu"):
        expected = 'None, "linear" or "relu"'
        raise value_error(operation, "activation", "is not known", expected, repr(activation))


def check_wrt(operation: str, wrt: Iterable[str]) -> tuple[str, ...]:
    """The names of the gradients to compute, a part of ("x", "kernel", "bias")."""
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    if any(name not in ("x", "kernel", "bias") for name in names):
        expected = 'some of "x", "kernel", "bias"'
        raise value_error(operation, "wrt", "holds an unknown name", expected, names)
    return names


def nhwc_shape(
    operation: str, argument: str, shape: Sequence[int], data_format: str
) -> tuple[int, int, int, int]:
    """(batch, height, width, channels) of a 4-D shape in either layout, channels >= 1."""
    check_data_format(operation, data_format)
    last = data_format == "channels_last"
    if len(shape) != 4:
        expected = "(N, H, W, C)" if last else "(N, C, H, W)"
        raise value_error(operation, argument, "must have 4 axes", expected, tuple(shape))
    if last:
        batch, height, width, channels = shape
    else:
        batch, channels, height, width = shape
    if channels < 1:
        raise value_error(operation, argument, "has no channels", "channels >= 1", tuple(shape))
    return batch, height, width, channels


def input_shape_argument(
    operation: str, input_shape: Sequence[int], data_format: str
) -> tuple[int, int, int, int]:
    """(batch, height, width, channels) of an `input_shape` given by the caller."""
    if not isinstance(input_shape, Sequence):
        expected = "a shape of 4 ints"
        raise type_error(operation, "input_shape", "must be a tuple", expected, repr(input_shape))
    sizes = [
        _checked_int(operation, "input_shape", size, 0, "ints", input_shape) for size in input_shape
    ]
    return nhwc_shape(operation, "input_shape", sizes, data_format)


def image_shape(
    batch: int, size: Pair, channels: int, data_format: str
) -> tuple[int, int, int, int]:
    """The inverse of `nhwc_shape`."""
    if data_format == "channels_last":
        return batch, *size, channels
    return batch, channels, *size


def conv2d_shapes(
    operation: str,
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntOrPair = 1,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> Conv2DShapes:
    """Check the shapes of a convolution against each other and name its sizes."""
    batch, height, width, channels = nhwc_shape(operation, "x", x_shape, data_format)
    groups = normalize_int(operation, "groups", groups)
    check_kernel_shape(operation, kernel_shape, "(kh, kw, C / groups, filters)")
    kernel_height, kernel_width, group_channels, filters = kernel_shape
    if channels % groups or filters % groups:
        rule = "must divide the channels and the filters"
        expected = f"a divisor of {math.gcd(channels, filters)}"
        raise value_error(operation, "groups", rule, expected, groups)
    if group_channels * groups != channels:
        expected = f"(kh, kw, {channels // groups}, filters) for {channels} channels"
        rule = f"does not fit x with groups={groups}"
        raise value_error(operation, "kernel", rule, expected, tuple(kernel_shape))
    windows = conv_windows(
        operation,
        (height, width),
        (kernel_height, kernel_width),
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
    )
    return Conv2DShapes(batch, channels, filters, groups, windows)


def check_kernel_shape(operation: str, shape: Sequence[int], layout: str) -> None:
    """Refuse a kernel that is not 4-D or has an empty axis."""
    if len(shape) != 4:
        raise value_error(operation, "kernel", "must have 4 axes", layout, tuple(shape))
    if min(shape) < 1:
        raise value_error(operation, "kernel", "has an empty axis", layout, tuple(shape))
