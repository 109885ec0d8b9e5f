"""Pooling of whole images."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: ARG002, D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastconv import ops
from fastconv._errors import value_error
from fastconv.layers.arguments import (
    IMAGE_AXES,
    join_image_shape,
    normalize_data_format,
    split_image_shape,
)
from fastconv.layers.layer import Layer, LayerOptions

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape


class GlobalPooling2D(Layer):
    """Base of the poolings of whole images; a subclass has the arithmetic.

    Args:
        data_format: None or "channels_last", or "channels_first".
        keepdims: whether height and width stay, as axes of size 1.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.
    """

    min_ndim = max_ndim = 4

    def __init__(
        self,
        data_format: str | None = None,
        keepdims: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.data_format = normalize_data_format(type(self).__name__, data_format)
        self.keepdims = bool(keepdims)
        self.input_axes = IMAGE_AXES[self.data_format]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.check_ndim(input_shape)
        size, channels = split_image_shape(input_shape, self.data_format)
        if 0 in size:
            rule, expected = "has no cells", "height and width >= 1"
            raise value_error(self._title, "the input", rule, expected, f"shape {input_shape}")
        if not self.keepdims:
            return input_shape[0], channels
        return join_image_shape(input_shape[0], (1, 1), channels, self.data_format)

    def _arguments(self, x_shape: Shape) -> dict[str, Any]:
        size = split_image_shape(x_shape, self.data_format)[0]
        return {"pool_size": size, "data_format": self.data_format}

    def _pooled(self, y: FloatArray) -> FloatArray:
        return y if self.keepdims else y.reshape(y.shape[0], max(y.shape[1:]))

    def _unpooled(self, grad: FloatArray) -> FloatArray:
        last = self.data_format == "channels_last"
        count, channels = grad.shape[0], max(grad.shape[1:])
        return grad.reshape((count, 1, 1, channels) if last else (count, channels, 1, 1))


class GlobalAveragePooling2D(GlobalPooling2D):
    """The mean of each channel of an image.

    Input `(N, H, W, C)`, or `(N, C, H, W)` with `data_format="channels_first"`; result `(N, C)`,
    with `keepdims` `(N, 1, 1, C)` or `(N, C, 1, 1)`.

    Args:
        data_format: None or "channels_last", or "channels_first".
        keepdims: whether height and width stay, as axes of size 1.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    >>> GlobalAveragePooling2D().compute_output_shape((None, 7, 7, 64))
    (None, 64)
    """

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        return self._pooled(ops.average_pool2d(x, **self._arguments(x.shape))), x.shape

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        if not need_input_gradient:
            return None
        grad = self._unpooled(grad)
        return ops.average_pool2d_gradient(grad, saved, **self._arguments(saved))


class GlobalMaxPooling2D(GlobalPooling2D):
    """The maximum of each channel of an image; the first one wins a tie, NaN wins over numbers.

    Input `(N, H, W, C)`, or `(N, C, H, W)` with `data_format="channels_first"`; result `(N, C)`,
    with `keepdims` `(N, 1, 1, C)` or `(N, C, 1, 1)`.

    Args:
        data_format: None or "channels_last", or "channels_first".
        keepdims: whether height and width stay, as axes of size 1.
        options: `name`, `trainable`, `dtype`, `input_shape`, as for `Layer`.

    >>> GlobalMaxPooling2D(keepdims=True).compute_output_shape((None, 7, 7, 64))
    (None, 1, 1, 64)
    """

    def forward(self, x: FloatArray, *, training: bool) -> tuple[FloatArray, Any]:
        if not training:
            return self._pooled(ops.max_pool2d(x, **self._arguments(x.shape))), None
        y, argmax = ops.max_pool2d(x, return_argmax=True, **self._arguments(x.shape))
        return self._pooled(y), (argmax, x.shape)

    def backward(
        self, grad: FloatArray, saved: Any, *, need_input_gradient: bool
    ) -> FloatArray | None:
        if not need_input_gradient:
            return None
        argmax, x_shape = saved
        grad = self._unpooled(grad)
        return ops.max_pool2d_gradient(grad, argmax, x_shape, data_format=self.data_format)
