"""One row a layer, at least: what every layer must do is tested on each of them.

A layer that `fastconv.layers` exports and that has no row fails `tests/test_layer_table.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastconv import layers
from fastconv.layers import Layer

Shape = tuple[int, ...]


class Row(NamedTuple):
    """A layer with its arguments, and what comes of an input of one shape (or several)."""

    kind: type[Layer]
    arguments: dict[str, Any]
    input_shape: Any
    output_shape: Shape
    weights: list[Shape]

    def make(self, **others: Any) -> Layer:
        return self.kind(**self.arguments, **others)

    @property
    def input_shapes(self) -> list[Shape]:
        several = isinstance(self.input_shape, list)
        return self.input_shape if several else [self.input_shape]

    def inputs(self, parts: list[Any]) -> Any:
        """Arrays or tensors, one an input, as the layer takes them."""
        return parts if isinstance(self.input_shape, list) else parts[0]

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.kind.__name__}({arguments})"


def row(
    kind: type[Layer],
    input_shape: Shape | list[Shape],
    output_shape: Shape,
    *weights: Shape,
    **arguments: Any,
) -> Row:
    return Row(kind, arguments, input_shape, output_shape, list(weights))


IMAGE = (2, 7, 6, 4)
FLAT = (3, 5)

ROWS = [
    row(layers.Activation, FLAT, FLAT, activation="tanh"),
    row(layers.Activation, FLAT, FLAT, activation="gelu"),
    row(layers.Activation, FLAT, FLAT, activation="linear"),
    row(layers.Add, [IMAGE, IMAGE, IMAGE], IMAGE),
    row(layers.Add, [IMAGE, (2, 1, 1, 4)], IMAGE),
    row(layers.AveragePooling2D, IMAGE, (2, 3, 3, 4)),
    row(layers.AveragePooling2D, IMAGE, (2, 4, 3, 4), pool_size=3, strides=2, padding="same"),
    row(layers.BatchNormalization, IMAGE, IMAGE, (4,), (4,), (4,), (4,)),
    row(layers.BatchNormalization, IMAGE, IMAGE, (4,), (4,), (4,), (4,), trainable=False),
    row(layers.BatchNormalization, IMAGE, IMAGE, (7,), (7,), (7,), axis=1, scale=False),
    row(layers.BatchNormalization, FLAT, FLAT, (5,), (5,), (5,), center=False, momentum=0.5),
    row(layers.Concatenate, [IMAGE, (2, 7, 6, 1), IMAGE], (2, 7, 6, 9)),
    row(layers.Concatenate, [IMAGE, (2, 2, 6, 4)], (2, 9, 6, 4), axis=1),
    row(layers.Conv2D, IMAGE, (2, 5, 4, 8), (3, 3, 4, 8), (8,), filters=8, kernel_size=3),
    row(
        layers.Conv2D,
        IMAGE,
        (2, 7, 4, 8),
        (1, 3, 4, 8),
        filters=8,
        kernel_size=(1, 3),
        use_bias=False,
    ),
    row(
        layers.Conv2D, IMAGE, (2, 3, 2, 8), (3, 3, 4, 8), (8,), filters=8, kernel_size=3, strides=2
    ),
    row(
        layers.Conv2D,
        IMAGE,
        (2, 4, 3, 8),
        (3, 3, 4, 8),
        (8,),
        filters=8,
        kernel_size=3,
        strides=2,
        padding="same",
        activation="relu",
    ),
    row(
        layers.Conv2D,
        IMAGE,
        (2, 7, 6, 8),
        (3, 3, 4, 8),
        (8,),
        filters=8,
        kernel_size=3,
        padding="SAME",
        activation="silu",
    ),
    row(
        layers.Conv2D,
        IMAGE,
        (2, 3, 2, 8),
        (3, 3, 4, 8),
        (8,),
        filters=8,
        kernel_size=3,
        dilation_rate=2,
        activation="tanh",
    ),
    row(
        layers.Conv2D,
        IMAGE,
        (2, 5, 4, 8),
        (3, 3, 2, 8),
        (8,),
        filters=8,
        kernel_size=3,
        groups=2,
        activation="softmax",
    ),
    row(
        layers.Conv2DTranspose,
        IMAGE,
        (2, 9, 8, 3),
        (3, 3, 3, 4),
        (3,),
        filters=3,
        kernel_size=3,
        activation="relu",
    ),
    row(
        layers.Conv2DTranspose,
        IMAGE,
        (2, 14, 12, 3),
        (3, 3, 3, 4),
        (3,),
        filters=3,
        kernel_size=3,
        strides=2,
        padding="same",
    ),
    row(
        layers.Conv2DTranspose,
        IMAGE,
        (2, 22, 12, 3),
        (3, 1, 3, 4),
        filters=3,
        kernel_size=(3, 1),
        strides=(3, 2),
        output_padding=1,
        use_bias=False,
    ),
    row(
        layers.Conv2DTranspose,
        IMAGE,
        (2, 11, 10, 3),
        (3, 3, 3, 4),
        (3,),
        filters=3,
        kernel_size=3,
        dilation_rate=2,
    ),
    row(layers.Dense, FLAT, (3, 4), (5, 4), (4,), units=4),
    row(layers.Dense, FLAT, (3, 4), (5, 4), units=4, use_bias=False, activation="relu"),
    row(layers.Dense, (3, 2, 5), (3, 2, 4), (5, 4), (4,), units=4, activation="sigmoid"),
    row(layers.DepthwiseConv2D, IMAGE, (2, 5, 4, 4), (3, 3, 4, 1), (4,), kernel_size=3),
    row(
        layers.DepthwiseConv2D,
        IMAGE,
        (2, 4, 3, 12),
        (3, 2, 4, 3),
        (12,),
        kernel_size=(3, 2),
        strides=2,
        padding="same",
        depth_multiplier=3,
        activation="relu",
    ),
    row(
        layers.DepthwiseConv2D,
        IMAGE,
        (2, 3, 2, 4),
        (3, 3, 4, 1),
        kernel_size=3,
        dilation_rate=2,
        use_bias=False,
    ),
    row(layers.Dropout, FLAT, FLAT, rate=0.4, seed=1),
    row(layers.Flatten, (2, 3, 4, 5), (2, 60)),
    row(layers.Flatten, (2,), (2, 1)),
    row(layers.GlobalAveragePooling2D, IMAGE, (2, 4)),
    row(layers.GlobalAveragePooling2D, IMAGE, (2, 1, 1, 4), keepdims=True),
    row(layers.GlobalMaxPooling2D, IMAGE, (2, 4)),
    row(layers.GlobalMaxPooling2D, IMAGE, (2, 1, 1, 4), keepdims=True),
    row(layers.LeakyReLU, FLAT, FLAT),
    row(layers.LeakyReLU, FLAT, FLAT, negative_slope=0),
    row(layers.MaxPooling2D, (2, 11, 8, 3), (2, 5, 4, 3)),
    row(layers.MaxPooling2D, (2, 11, 8, 3), (2, 3, 2, 3), pool_size=3),
    row(layers.MaxPooling2D, (2, 11, 8, 3), (2, 9, 7, 3), pool_size=(3, 2), strides=1),
    row(layers.MaxPooling2D, (2, 11, 8, 3), (2, 6, 4, 3), pool_size=3, strides=2, padding="same"),
    row(layers.ReLU, FLAT, FLAT),
    row(layers.ReLU, (3, 50), (3, 50), max_value=0.8, negative_slope=0.3, threshold=0.2),
    row(layers.Rescaling, IMAGE, IMAGE, scale=0.5, offset=-1),
    row(layers.Rescaling, FLAT, FLAT, scale=[1, 2, 3, 4, 5], offset=[1, 0, 0, 0, 2]),
    row(layers.Reshape, IMAGE, (2, 4, 42), target_shape=(4, 42)),
    row(layers.Reshape, IMAGE, (2, 3, 56), target_shape=[3, -1]),
    row(
        layers.SeparableConv2D,
        IMAGE,
        (2, 5, 4, 3),
        (3, 3, 4, 1),
        (1, 1, 4, 3),
        (3,),
        filters=3,
        kernel_size=3,
        activation="relu",
    ),
    row(
        layers.SeparableConv2D,
        IMAGE,
        (2, 4, 3, 3),
        (3, 3, 4, 2),
        (1, 1, 8, 3),
        filters=3,
        kernel_size=3,
        strides=2,
        padding="same",
        depth_multiplier=2,
        use_bias=False,
    ),
    row(layers.Softmax, FLAT, FLAT),
    row(layers.Softmax, (3, 5, 2), (3, 5, 2), axis=1),
    row(layers.UpSampling2D, IMAGE, (2, 14, 18, 4), size=(2, 3)),
    row(layers.UpSampling2D, IMAGE, (2, 14, 24, 4), size=(2, 4), interpolation="bilinear"),
    row(layers.ZeroPadding2D, IMAGE, (2, 9, 8, 4)),
    row(layers.ZeroPadding2D, IMAGE, (2, 8, 11, 4), padding=((1, 0), (2, 3))),
]
