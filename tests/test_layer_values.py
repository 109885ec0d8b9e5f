"""Results of layers against the reference, or worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import layers, reference
from support.arrays import assert_equal, assert_exact_in_float32, integers


def images(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return integers(1, *shape).astype(np.float32)


def with_integer_weights(layer: layers.Layer, x: Any) -> list[Any]:
    """Build the layer for `x`; give and return integer weights."""
    layer(x)
    layer.set_weights([integers(2, *weight.shape) for weight in layer.weights])
    return layer.get_weights()


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2}])
def test_depthwise_is_a_convolution_of_each_channel(options: Any, multiplier: int) -> None:
    layer = layers.DepthwiseConv2D(3, depth_multiplier=multiplier, activation="relu", **options)
    x = images(2, 7, 8, 3)
    kernel, bias = with_integer_weights(layer, x)
    assert_exact_in_float32(9)
    channels = [
        reference.conv2d(x[..., [c]], kernel[:, :, [c], :], activation="relu", **options)
        if bias is None
        else reference.conv2d(
            x[..., [c]],
            kernel[:, :, [c], :],
            bias[c * multiplier : (c + 1) * multiplier],
            activation="relu",
            **options,
        )
        for c in range(3)
    ]
    assert_equal(layer(x), np.concatenate(channels, axis=-1))


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2}])
def test_separable_is_depthwise_and_pointwise(options: Any) -> None:
    layer = layers.SeparableConv2D(5, 3, depth_multiplier=2, **options)
    x = images(2, 7, 8, 3)
    depthwise_kernel, pointwise_kernel, bias = with_integer_weights(layer, x)
    between = reference.conv2d(x, depthwise_kernel.reshape(3, 3, 1, 6), groups=3, **options)
    # Integers up to 9 * 16 times 4, six of them: far below 2**24.
    assert_equal(layer(x), reference.conv2d(between, pointwise_kernel, bias))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": (3, 2), "padding": "same"},
        {"strides": 3, "output_padding": (0, 2)},
        {"dilation_rate": 2},
    ],
)
def test_transposed_is_the_reference(options: Any) -> None:
    layer = layers.Conv2DTranspose(5, 3, activation="relu", **options)
    x = images(2, 4, 5, 3)
    kernel, bias = with_integer_weights(layer, x)
    expected = reference.conv2d_transpose(x, kernel, bias, activation="relu", **options)
    assert_equal(layer(x), expected)


@pytest.mark.parametrize("options", [{}, {"pool_size": 3, "strides": 2, "padding": "same"}])
def test_average_pooling_is_the_reference(options: Any) -> None:
    x = images(2, 7, 6, 3)
    assert_equal(layers.AveragePooling2D(**options)(x), reference.average_pool2d(x, **options))


def test_average_pooling_leaves_the_padding_out() -> None:
    x = np.float32([[1, 2, 6]]).reshape(1, 1, 3, 1)
    assert layers.AveragePooling2D((1, 2), padding="same")(x).ravel().tolist() == [1.5, 6]


def test_global_pooling() -> None:
    x = np.float32([[[1, 8], [3, -2]], [[5, 0], [7, np.nan]]]).reshape(1, 2, 2, 2)
    assert_equal(layers.GlobalAveragePooling2D()(x), np.float32([[4, np.nan]]))
    assert_equal(layers.GlobalMaxPooling2D()(x), np.float32([[7, np.nan]]))
    with pytest.raises(ValueError, match=r"'global_max_pooling2d.*': the input has no cells"):
        layers.GlobalMaxPooling2D()(np.zeros((1, 0, 2, 2)))


def test_global_max_goes_to_the_first_of_equal_cells() -> None:
    layer = layers.GlobalMaxPooling2D()
    y, saved = layer.forward(np.ones((1, 2, 2, 1), np.float32), training=True)
    dx = layer.backward(np.float32([[5]]), saved, need_input_gradient=True)
    assert dx.ravel().tolist() == [5, 0, 0, 0]
    assert y.tolist() == [[1]]


def test_zero_padding() -> None:
    x = np.float32([[1, 2]]).reshape(1, 1, 2, 1)
    y = layers.ZeroPadding2D(((1, 0), (0, 2)))(x)
    assert y[0, :, :, 0].tolist() == [[0, 0, 0, 0], [1, 2, 0, 0]]
    assert layers.ZeroPadding2D((1, 0))(x).shape == (1, 3, 2, 1)
    assert layers.ZeroPadding2D(0)(x).shape == x.shape


def test_up_sampling() -> None:
    x = np.float32([[1, 3]]).reshape(1, 1, 2, 1)
    nearest = layers.UpSampling2D((2, 3))(x)[0, :, :, 0]
    assert nearest.tolist() == [[1, 1, 1, 3, 3, 3]] * 2
    # Centres of the new cells at -1/4, 1/4, 3/4, 5/4; the edges repeat.
    bilinear = layers.UpSampling2D(2, interpolation="bilinear")(x)[0, :, :, 0]
    assert bilinear.tolist() == [[1, 1.5, 2.5, 3]] * 2
    assert layers.UpSampling2D(1, interpolation="bilinear")(x).tolist() == x.tolist()


def test_reshape_keeps_the_order() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    assert layers.Reshape((4, -1))(x).tolist() == x.reshape(1, 4, 3).tolist()


def test_rescaling_of_bytes() -> None:
    x = np.array([[0, 51, 255]], np.uint8)
    expected = x.astype(np.float32) * np.float32(1 / 255)
    assert_equal(layers.Rescaling(1 / 255)(x), expected)
    assert layers.Rescaling([1, 2, 0], offset=[0, 1, 3])(x).tolist() == [[0, 103, 3]]


def test_leaky_relu() -> None:
    x = np.float32([[-10, -0.0, 0, 5, np.nan]])
    assert_equal(layers.LeakyReLU(0.5)(x), np.float32([[-5, 0, 0, 5, np.nan]]))
    assert layers.LeakyReLU(2)([[-1.0, 1.0]]).tolist() == [[-2, 1]]
    assert layers.LeakyReLU().negative_slope == 0.3


def test_add_and_concatenate() -> None:
    a, b = np.float32([[[1, 2], [3, 4]]]), np.float32([[[10, 20]]])
    assert layers.Add()([a, b]).tolist() == [[[11, 22], [13, 24]]]
    assert layers.Concatenate(1)([a, b]).tolist() == [[[1, 2], [3, 4], [10, 20]]]
    assert layers.Concatenate()([b, b, b]).tolist() == [[[10, 20] * 3]]
    add = layers.Add()
    _, saved = add.forward([a, b], training=True)
    left, right = add.backward(np.ones_like(a), saved, need_input_gradient=True)
    assert left.tolist() == [[[1, 1], [1, 1]]]
    assert right.tolist() == [[[2, 2]]]
    left += 1
    assert right.tolist() == [[[2, 2]]]


def test_regularizers_of_layers_are_penalties() -> None:
    layer = layers.Dense(2, kernel_regularizer="l2", bias_regularizer="l1", use_bias=True)
    layer(np.zeros((1, 2)))
    layer.set_weights([[[1, 2], [3, 4]], [-5, 6]])
    assert layer.losses == pytest.approx([0.01 * 30, 0.01 * 11])
    layer.trainable = False
    assert layer.losses == []
    l1, l2, both = "l1", "l2", "l1l2"
    names = [
        (layers.Conv2D(1, 1, kernel_regularizer=l1, bias_regularizer=l2), ["L1", "L2"]),
        (layers.Conv2DTranspose(1, 1, kernel_regularizer=l1), ["L1", None]),
        (layers.DepthwiseConv2D(1, depthwise_regularizer=l1, bias_regularizer=l2), ["L1", "L2"]),
        (
            layers.SeparableConv2D(
                1, 1, depthwise_regularizer=l1, pointwise_regularizer=l2, bias_regularizer=both
            ),
            ["L1", "L2", "L1L2"],
        ),
        (
            layers.BatchNormalization(gamma_regularizer=l1, beta_regularizer=l2),
            ["L1", "L2", None, None],
        ),
    ]
    for made, expected in names:
        made(np.zeros((1, 2, 2, 1)))
        kinds = [w.regularizer and type(w.regularizer).__name__ for w in made.weights]
        assert kinds == expected
