"""Where the windows of a pooling lie: each must hold a cell of the image.

Names as in `_shapes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv._errors import value_error
from fastconv._shapes import (
    Windows,
    normalize_pair,
    output_length,
    output_size,
    resolve_padding,
    window_extent,
)

if TYPE_CHECKING:
    from fastconv._types import IntOrPair, Padding, Pair


def pool_windows(
    operation: str,
    input_size: Pair,
    pool_size: IntOrPair,
    *,
    strides: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    ceil_mode: bool = False,
    strides_argument: str = "strides",
) -> Windows:
    """The windows of a pooling; each must hold at least one cell of the image.

    `strides=None` means `pool_size`. With `ceil_mode` a last window that the image covers only in
    part is kept if it starts inside the image or the padding before it; `padding` of the result
    then covers that window. "same" already counts partial windows.
    """
    size = normalize_pair(operation, "pool_size", pool_size)
    step = size if strides is None else normalize_pair(operation, strides_argument, strides)
    dilation = normalize_pair(operation, "dilation_rate", dilation_rate)
    sides = resolve_padding(operation, padding, input_size, size, step, dilation)
    if ceil_mode and not (isinstance(padding, str) and padding == "same"):
        sides = (
            _with_partial_window(input_size[0], size[0], step[0], dilation[0], sides[0]),
            _with_partial_window(input_size[1], size[1], step[1], dilation[1], sides[1]),
        )
    count = output_size(operation, input_size, size, step, dilation, sides)
    windows = Windows(input_size, size, step, dilation, sides, count)
    for axis in (0, 1):
        if _some_window_is_empty(windows, axis):
            rule = "leaves a window without a cell of the image"
            expected = f"padding below the extent of pool_size {size}"
            raise value_error(operation, "padding", rule, expected, padding)
    return windows


def _with_partial_window(length: int, size: int, stride: int, dilation: int, sides: Pair) -> Pair:
    before, after = sides
    extent = window_extent(size, dilation)
    count = output_length(before + length + after, extent, stride, ceil_mode=True)
    if (count - 1) * stride >= before + length:
        count -= 1
    return before, max(after, (count - 1) * stride + extent - before - length)


def _some_window_is_empty(windows: Windows, axis: int) -> bool:
    length = windows.input_size[axis]
    stride, dilation = windows.strides[axis], windows.dilation_rate[axis]
    before = windows.padding[axis][0]
    last_start = (windows.output_size[axis] - 1) * stride - before
    if before >= window_extent(windows.kernel_size[axis], dilation) or last_start >= length:
        return True
    if dilation <= length:
        return False
    # Taps further apart than the image is long may step over it: a window that starts at
    # -m (m > 0) has its first tap at or after cell 0 on cell (-m) mod d. Of the starts -before,
    # -before + stride, ... below 0, some has (start mod d) >= length if and only if
    # floor((start + d - length) / d) > floor(start / d) for it, and never is the left side smaller.
    starts = min(windows.output_size[axis], -(-before // stride))
    first = dilation - before % dilation  # > 0, and equal to -before modulo the dilation
    landed = _floor_sum(starts, dilation, stride, first)
    shifted = _floor_sum(starts, dilation, stride, first + dilation - length)
    return shifted > landed


def _floor_sum(count: int, divisor: int, step: int, start: int) -> int:
    """Sum of `(step * i + start) // divisor` for i from 0 to `count - 1`, in O(log(divisor)).

    All arguments >= 0, `divisor` >= 1. Counts lattice points below a line; what is left after the
    whole parts are taken out is the same sum with `step` and `divisor` exchanged, as in Euclid's
    algorithm.
    """
    total = 0
    while True:
        total += count * (count - 1) // 2 * (step // divisor) + count * (start // divisor)
        step, start = step % divisor, start % divisor
        top = step * count + start
        if top < divisor:
            return total
        count, start = divmod(top, divisor)
        step, divisor = divisor, step
