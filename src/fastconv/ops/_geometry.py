"""Windows as the flat tuples of integers that the core takes, and all that their sizes decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastconv._arrays import check_shape
from fastconv._pool_windows import pool_windows
from fastconv._shapes import conv2d_shapes, image_shape, input_shape_argument, nhwc_shape
from fastconv.ops._remembered import remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._core import ConvGeometry, PoolGeometry
    from fastconv._shapes import Conv2DShapes, Windows
    from fastconv._types import DataFormat, IntOrPair, Padding


def conv_geometry(shapes: Conv2DShapes) -> ConvGeometry:
    """Strides, dilation rates, padding and groups."""
    _, _, strides, dilation, (vertical, horizontal), _ = shapes.windows
    return (*strides, *dilation, *vertical, *horizontal, shapes.groups)


def pool_geometry(windows: Windows) -> PoolGeometry:
    """Pool size, strides, dilation rates and padding."""
    _, size, strides, dilation, (vertical, horizontal), _ = windows
    return (*size, *strides, *dilation, *vertical, *horizontal)


class ConvPlan(NamedTuple):
    """A convolution whose arguments fit each other; `result_shape` is in the data format."""

    filters: int
    result_shape: tuple[int, int, int, int]
    geometry: ConvGeometry


class PoolPlan(NamedTuple):
    """A pooling whose arguments fit each other; `result_shape` is in the data format."""

    result_shape: tuple[int, int, int, int]
    geometry: PoolGeometry


@remembered
def conv2d_plan(
    operation: str,
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    strides: IntOrPair,
    padding: Padding,
    dilation_rate: IntOrPair,
    groups: int,
    data_format: DataFormat,
) -> ConvPlan:
    """Check the shapes and options of a convolution."""
    shapes = conv2d_shapes(
        operation,
        x_shape,
        kernel_shape,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        groups=groups,
        data_format=data_format,
    )
    size = shapes.windows.output_size
    result_shape = image_shape(shapes.batch, size, shapes.filters, data_format)
    return ConvPlan(shapes.filters, result_shape, conv_geometry(shapes))


@remembered
def pool2d_plan(
    operation: str,
    x_shape: tuple[int, ...],
    data_format: DataFormat,
    pool_size: IntOrPair,
    strides: IntOrPair | None,
    padding: Padding = "valid",
    dilation_rate: IntOrPair = 1,
    ceil_mode: bool = False,
    strides_argument: str = "strides",
) -> PoolPlan:
    """Check the shape and options of a pooling."""
    batch, height, width, channels = nhwc_shape(operation, "x", x_shape, data_format)
    windows = pool_windows(
        operation,
        (height, width),
        pool_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        ceil_mode=ceil_mode,
        strides_argument=strides_argument,
    )
    result_shape = image_shape(batch, windows.output_size, channels, data_format)
    return PoolPlan(result_shape, pool_geometry(windows))


def max_pool2d_gradient_plan(
    operation: str, grad_shape: tuple[int, ...], input_shape: Sequence[int], data_format: DataFormat
) -> tuple[int, int, int, int]:
    """Check the shapes of the gradient of a maximum; that of the result, in the data format."""
    batch, height, width, channels = input_shape_argument(operation, input_shape, data_format)
    grad_batch, _, _, grad_channels = nhwc_shape(operation, "grad", grad_shape, data_format)
    check_shape(operation, "input_shape", (batch, channels), (grad_batch, grad_channels))
    return image_shape(batch, (height, width), channels, data_format)


def average_pool2d_gradient_plan(
    operation: str,
    grad_shape: tuple[int, ...],
    input_shape: Sequence[int],
    data_format: DataFormat,
    pool_size: IntOrPair,
    strides: IntOrPair | None,
    padding: Padding,
) -> PoolPlan:
    """Check the shapes and options of the gradient of a mean; `result_shape` is that of `x`."""
    batch, height, width, channels = input_shape_argument(operation, input_shape, data_format)
    shape = image_shape(batch, (height, width), channels, data_format)
    expected, geometry = pool2d_plan(operation, shape, data_format, pool_size, strides, padding)
    check_shape(operation, "grad", grad_shape, expected)
    return PoolPlan(shape, geometry)
