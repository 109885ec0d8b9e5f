"""Inference of a plain chain of layers as one call of the core.

The core keeps the weights in the order of its kernels and sees by itself when they change; large
batches run through all layers block by block, so that results in between stay in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv import _core, activations
from fastconv._pool_windows import pool_windows
from fastconv._shapes import conv2d_shapes
from fastconv.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from fastconv.models.fused_pool import Conv2DMaxPooling2D
from fastconv.ops._geometry import conv_geometry, pool_geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._types import FloatArray
    from fastconv.layers.variable import Variable
    from fastconv.models.fusion import Runner

_FLOAT32 = np.dtype(np.float32)


class NativeChain:
    """The layers of `runners`, one after the other, on float32 images of one shape."""

    def __init__(self, runners: Sequence[Runner], image_shape: tuple[int, ...]) -> None:
        self.image_shape = image_shape
        self.result_shape = image_shape
        self._weights: list[tuple[Variable, FloatArray]] = []
        self._chain = _core.Chain(image_shape)
        known = all(self._add(runner) for runner in runners)
        self.complete = known and bool(self._weights)

    def run(self, x: object, *, softmax: bool) -> FloatArray | None:
        """The result for a batch, through softmax if asked for.

        None for anything but packed float32 images of the shape, and where layers have other
        weights by now.
        """
        if not self.complete:
            return None
        for variable, value in self._weights:
            if variable.value is not value:
                return None
        return self._chain.run(x, softmax, 0)

    def _add(self, runner: Runner) -> bool:
        """Add a layer; False if the core has none of its kind."""
        if isinstance(runner, Dropout):
            return True
        if isinstance(runner, Flatten) and runner.data_format == "channels_last":
            self._chain.flatten()
            self.result_shape = (int(np.prod(self.result_shape)),)
            return True
        if isinstance(runner, Conv2DMaxPooling2D) and runner.has_codes:
            windows = runner.windows_of(self.result_shape)
            kernel, bias = self._use(runner.conv)
            self._chain.conv2d_max_pool2d(kernel, bias, windows.conv, windows.pool, runner.relu)
            self.result_shape = windows.pooled_shape
            return True
        if type(runner) is Conv2D and runner.data_format == "channels_last":
            return runner.activation.fused and self._add_conv2d(runner)
        if type(runner) is MaxPooling2D and runner.data_format == "channels_last":
            size = (self.result_shape[0], self.result_shape[1])
            pooling = pool_windows(
                "MaxPooling2D",
                size,
                runner.pool_size,
                strides=runner.strides,
                padding=runner.padding,
            )
            self._chain.max_pool2d(pool_geometry(pooling))
            self.result_shape = (*pooling.output_size, self.result_shape[2])
            return True
        if type(runner) is Dense and runner.activation.fused and len(self.result_shape) == 1:
            kernel, bias = self._use(runner)
            self._chain.dense(kernel, bias, runner.activation is activations.relu)
            self.result_shape = (runner.units,)
            return True
        return False

    def _add_conv2d(self, layer: Conv2D) -> bool:
        shapes = conv2d_shapes(
            "Conv2D",
            (1, *self.result_shape),
            layer.kernel.shape,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            groups=layer.groups,
        )
        kernel, bias = self._use(layer)
        relu = layer.activation is activations.relu
        self._chain.conv2d(kernel, bias, conv_geometry(shapes), relu)
        self.result_shape = (*shapes.windows.output_size, shapes.filters)
        return True

    def _use(self, layer: Conv2D | Dense) -> tuple[FloatArray, FloatArray | None]:
        self._weights.append((layer.kernel, layer.kernel.value))
        if layer.bias is None:
            return layer.kernel.value, None
        self._weights.append((layer.bias, layer.bias.value))
        return layer.kernel.value, layer.bias.value
