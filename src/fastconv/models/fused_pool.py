"""Conv2D -> linear or ReLU -> MaxPooling2D as one step, on the core's codes of the maxima."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastconv import _core, activations, ops
from fastconv._pool_windows import pool_windows
from fastconv._shapes import conv2d_shapes
from fastconv.layers.base_convolution import conv2d_gradients_wanted
from fastconv.ops._geometry import conv_geometry, pool_geometry

if TYPE_CHECKING:
    from fastconv._core import ConvGeometry, PoolGeometry
    from fastconv._types import FloatArray
    from fastconv.layers import Conv2D, MaxPooling2D

_UINT8 = np.dtype(np.uint8)


class Windows(NamedTuple):
    """What the core wants to know for one size of images."""

    image_shape: tuple[int, ...]
    pooled_shape: tuple[int, ...]
    conv: ConvGeometry
    pool: PoolGeometry


class Conv2DMaxPooling2D:
    """Conv2D -> linear or ReLU -> MaxPooling2D in one pass each way.

    Where the core has codes of a byte for the maxima (`has_codes`), training keeps those and not
    `argmax`.
    """

    def __init__(self, conv: Conv2D, pool: MaxPooling2D) -> None:
        self.conv = conv
        self.relu = conv.activation is activations.relu
        self._options: dict[str, Any] = {
            "strides": conv.strides,
            "padding": conv.padding,
            "dilation_rate": conv.dilation_rate,
            "groups": conv.groups,
            "data_format": conv.data_format,
        }
        self._pooling = {"pool_size": pool.pool_size, "pool_strides": pool.strides}
        plain = conv.strides == (1, 1) and conv.dilation_rate == (1, 1) and conv.groups == 1
        tiled = pool.pool_size == (2, 2) and pool.strides == (2, 2)
        self.has_codes = plain and tiled and conv.data_format == "channels_last"
        self._windows: Windows | None = None

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        if not self.has_codes:
            return self._forward_argmax(x, training=training)
        kernel, bias = self._weights()
        windows = self.windows_of(x.shape[1:])
        shape = (len(x), *windows.pooled_shape)
        y = _core.empty(shape, x.dtype)
        codes = _core.empty(shape, _UINT8) if training else None
        _core.conv2d_max_pool2d(x, kernel, bias, y, codes, windows.conv, windows.pool, self.relu, 0)
        return y, (x, codes, y)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        x, maxima, y = saved
        conv = self.conv
        wrt, out = conv2d_gradients_wanted(conv.kernel, conv.bias, need_input_gradient)
        if not self.has_codes:
            return ops.conv2d_max_pool2d_gradients(
                x, conv.kernel.value, grad, maxima, y, wrt=wrt, out=out, **self._arguments()
            ).x
        windows = self.windows_of(x.shape[1:])
        dx = _core.empty(x.shape, x.dtype) if need_input_gradient else None
        _core.conv2d_max_pool2d_gradients(
            x,
            conv.kernel.value,
            grad,
            maxima,
            y,
            dx,
            out.kernel,
            out.bias,
            windows.conv,
            windows.pool,
            self.relu,
            0,
        )
        return dx

    def _forward_argmax(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        kernel, bias = self._weights()
        if not training:
            return ops.conv2d_max_pool2d(x, kernel, bias, **self._arguments()), None
        y, argmax = ops.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **self._arguments())
        return y, (x, argmax, y)

    def _weights(self) -> tuple[FloatArray, FloatArray | None]:
        conv = self.conv
        return conv.kernel.value, None if conv.bias is None else conv.bias.value

    def _arguments(self) -> dict[str, Any]:
        return {
            **self._options,
            **self._pooling,
            "activation": "relu" if self.relu else None,
        }

    def windows_of(self, image_shape: tuple[int, ...]) -> Windows:
        """What the core wants to know for images of this shape, channels last."""
        windows = self._windows
        if windows is None or windows.image_shape != image_shape:
            kernel_shape = self.conv.kernel.shape
            shapes = conv2d_shapes("Conv2D", (1, *image_shape), kernel_shape, **self._options)
            size = shapes.windows.output_size
            pooling = pool_windows("MaxPooling2D", size, 2, strides=2)
            pooled_shape = (*pooling.output_size, shapes.filters)
            windows = Windows(
                image_shape, pooled_shape, conv_geometry(shapes), pool_geometry(pooling)
            )
            self._windows = windows
        return windows
