"""Windows as the flat tuples of integers that the core takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastconv._core import ConvGeometry, PoolGeometry
    from fastconv._shapes import Conv2DShapes, Windows


def conv_geometry(shapes: Conv2DShapes) -> ConvGeometry:
    """Strides, dilation rates, padding and groups."""
    _, _, strides, dilation, (vertical, horizontal), _ = shapes.windows
    return (*strides, *dilation, *vertical, *horizontal, shapes.groups)


def pool_geometry(windows: Windows) -> PoolGeometry:
    """Pool size, strides, dilation rates and padding."""
    _, size, strides, dilation, (vertical, horizontal), _ = windows
    return (*size, *strides, *dilation, *vertical, *horizontal)
