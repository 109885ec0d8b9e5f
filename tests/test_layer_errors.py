"""What layers refuse, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    keras.utils.clear_session()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Conv2D(0, 3), "Conv2D: filters must be positive, expected int >= 1, "),
        (lambda: layers.Conv2D(-1, 3), "Conv2D: filters must be positive"),
        (lambda: layers.Conv2D(2, 0), "Conv2D: kernel_size must be positive"),
        (lambda: layers.Conv2D(2, (2, 0)), "Conv2D: kernel_size must be positive"),
        (lambda: layers.Conv2D(2, (1, 2, 3)), "Conv2D: kernel_size must have one or two values"),
        (lambda: layers.Conv2D(2, 3, 0), "Conv2D: strides must be positive"),
        (lambda: layers.Conv2D(2, 3, (1,)), "Conv2D: strides must have one or two values"),
        (lambda: layers.Conv2D(2, 3, dilation_rate=0), "Conv2D: dilation_rate must be positive"),
        (lambda: layers.Conv2D(2, 3, padding="full"), 'Conv2D: padding is not known, expected "v'),
        (lambda: layers.Conv2D(2, 3, groups=0), "Conv2D: groups must be positive"),
        (lambda: layers.Conv2D(3, 3, groups=2), "Conv2D: filters must be a multiple of groups"),
        (lambda: layers.Conv2D(2, 3, data_format="NCHW"), "Conv2D: data_format is not known"),
        (
            lambda: layers.Conv2D(2, 3, strides=2, dilation_rate=2),
            r"Conv2D: strides and dilation_rate must not both be above 1, expected one of them "
            r"\(1, 1\), received strides \(2, 2\) and dilation_rate \(2, 2\)",
        ),
        (lambda: layers.Conv2D(2, 3, activation="swoosh"), "identifier is not known"),
        (lambda: layers.Conv2D(2, 3, activation=lambda x: x), "identifier is not known"),
        (lambda: layers.Conv2D(2, 3, kernel_initializer="magic"), "initializers.get: identifier"),
        (lambda: layers.MaxPooling2D(0), "MaxPooling2D: pool_size must be positive"),
        (lambda: layers.MaxPooling2D(2, 0), "MaxPooling2D: strides must be positive"),
        (lambda: layers.MaxPooling2D(padding="no"), "MaxPooling2D: padding is not known"),
        (lambda: layers.Dense(0), "Dense: units must be positive"),
        (lambda: layers.AveragePooling2D(0), "AveragePooling2D: pool_size must be positive"),
        (lambda: layers.AveragePooling2D(padding="full"), "AveragePooling2D: padding is not known"),
        (lambda: layers.GlobalMaxPooling2D("NCHW"), "GlobalMaxPooling2D: data_format is not known"),
        (lambda: layers.DepthwiseConv2D(0), "DepthwiseConv2D: kernel_size must be positive"),
        (
            lambda: layers.DepthwiseConv2D(3, depth_multiplier=0),
            "DepthwiseConv2D: depth_multiplier must be positive",
        ),
        (
            lambda: layers.DepthwiseConv2D(3, 2, dilation_rate=2),
            "DepthwiseConv2D: strides and dilation_rate must not both be above 1",
        ),
        (lambda: layers.SeparableConv2D(0, 3), "SeparableConv2D: filters must be positive"),
        (lambda: layers.SeparableConv2D(1, 3, 0), "SeparableConv2D: strides must be positive"),
        (lambda: layers.Conv2DTranspose(0, 3), "Conv2DTranspose: filters must be positive"),
        (
            lambda: layers.Conv2DTranspose(1, 3, 2, output_padding=2),
            r"Conv2DTranspose: output_padding must be below strides, expected below \(2, 2\)",
        ),
        (lambda: layers.Conv2DTranspose(1, 3, output_padding=-1), "must not be negative"),
        (
            lambda: layers.Conv2DTranspose(1, 3, 2, dilation_rate=2),
            "Conv2DTranspose: strides and dilation_rate must not both be above 1",
        ),
        (lambda: layers.ZeroPadding2D(-1), "ZeroPadding2D: padding must not be negative"),
        (lambda: layers.ZeroPadding2D((1, 2, 3)), "ZeroPadding2D: padding must have two values"),
        (lambda: layers.UpSampling2D(0), "UpSampling2D: size must be positive"),
        (
            lambda: layers.UpSampling2D(interpolation="cubic"),
            'UpSampling2D: interpolation is not known, expected "nearest" or "bilinear"',
        ),
        (lambda: layers.Reshape((-1, -1)), "Reshape: target_shape has more than one size to infer"),
        (lambda: layers.Reshape((0,)), "Reshape: target_shape must be positive"),
        (lambda: layers.LeakyReLU(-1), "LeakyReLU: negative_slope must not be negative"),
        (lambda: layers.LeakyReLU(None), "LeakyReLU: negative_slope must not be negative"),
        (lambda: layers.Conv2D(1, 1, kernel_regularizer="l3"), "regularizers.get: identifier"),
        (
            lambda: layers.Conv2D(1, 1, kernel_constraint="max_norm"),
            "Conv2D: kernel_constraint is not supported, expected None, received 'max_norm'",
        ),
        (
            lambda: layers.Dense(1, activity_regularizer="l2"),
            "Dense: activity_regularizer is not supported",
        ),
        (lambda: layers.Dropout(-0.1), "Dropout: rate is out of range, expected 0 <= rate <= 1"),
        (lambda: layers.Dropout(1.5), "Dropout: rate is out of range"),
        (lambda: layers.Dropout("a"), "Dropout: rate is out of range"),
        (lambda: layers.Dropout(0.5, (1, 2)), "Dropout: noise_shape is not supported"),
        (lambda: layers.ReLU(-1), "ReLU: max_value must not be negative"),
        (lambda: layers.ReLU(negative_slope=-1), "ReLU: negative_slope must not be negative"),
        (lambda: layers.ReLU(threshold=None), "ReLU: threshold must not be negative"),
        (lambda: layers.Dense(1, dtype="float16"), 'dtype is not known, expected "float32"'),
        (lambda: layers.Dense(1, name="a/b"), "Dense: name is not valid"),
        (lambda: keras.Input(5), "shape must be a tuple of sizes"),
        (lambda: keras.Input((0, 1)), "shape must be positive"),
        (lambda: keras.Input((2,), batch_size=0), "batch_size must be positive"),
    ],
)
def test_values(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Conv2D(1.5, 3), "Conv2D: filters must be an integer"),
        (lambda: layers.Conv2D(True, 3), "Conv2D: filters must be an integer"),
        (lambda: layers.Conv2D(2, "3"), "Conv2D: kernel_size must be an integer"),
        (lambda: layers.Conv2D(2, 3, padding=1), "Conv2D: padding must be a str"),
        (lambda: layers.Dense("ten"), "Dense: units must be an integer"),
        (lambda: layers.Dense(1, weight_decay=0.1), "Dense: weight_decay is not an argument"),
        (lambda: layers.Reshape(3), r"Reshape: target_shape must be a tuple"),
        (lambda: layers.Reshape((1.5,)), "Reshape: target_shape must be an integer"),
        (lambda: layers.Rescaling("a"), "Rescaling: scale must be numbers"),
        (lambda: layers.Rescaling(1, offset=None), "Rescaling: offset must be numbers"),
        (lambda: layers.ZeroPadding2D("same"), "ZeroPadding2D: padding must be numbers"),
        (lambda: layers.ZeroPadding2D(0.5), "ZeroPadding2D: padding must be an integer"),
        (lambda: layers.UpSampling2D(0.5), "UpSampling2D: size must be an integer"),
        (lambda: layers.BatchNormalization(1.5), "cannot be interpreted as an integer"),
        (
            lambda: layers.Add()(np.ones((2, 3))),
            "Add 'add': the layer must be called on several inputs, expected a list of at least tw",
        ),
        (lambda: layers.Add()([keras.Input((3,))]), "must be called on several inputs"),
        (lambda: layers.Concatenate()(keras.Input((3,))), "must be called on several inputs"),
        (
            lambda: layers.Dense(1)([keras.Input((3,)), keras.Input((3,))]),
            "Dense 'dense': the layer takes one input, expected one tensor, received a list of 2",
        ),
        (lambda: layers.Add()([keras.Input((3,)), np.ones((1, 3))]), "must hold real numbers"),
        (lambda: layers.Dense(1)(np.array(["a"])), "Dense 'dense': inputs must hold real numbers"),
        (lambda: layers.Dense(1)(np.ones((1, 1), complex)), "must hold real numbers"),
    ],
)
def test_types(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            lambda: layers.Conv2D(2, 3),
            (5, 28, 28),
            r"Conv2D 'conv2d': the input has the wrong number of axes, expected 4 \(batch, height, "
            r"width, channels\), received shape \(None, 28, 28\)",
        ),
        (
            lambda: layers.Conv2D(2, 3, data_format="channels_first"),
            (5, 28, 28),
            r"expected 4 \(batch, channels, height, width\)",
        ),
        (lambda: layers.Conv2D(2, 3), (5, 1, 2, 3, 4), "wrong number of axes"),
        (
            lambda: layers.Conv2D(2, 3),
            (5, 2, 9, 1),
            r"Conv2D 'conv2d': the height and width of x give an output size below 1, expected at "
            r"least \(3, 3\) cells after padding .*, received \(2, 9\)",
        ),
        (
            lambda: layers.Conv2D(2, 3, groups=2),
            (5, 9, 9, 3),
            r"Conv2D 'conv2d': the input has the wrong channels, expected a multiple of groups=2, "
            r"received shape \(None, 9, 9, 3\)",
        ),
        (lambda: layers.MaxPooling2D(), (5, 9, 9), "MaxPooling2D 'max_pooling2d': the input has"),
        (lambda: layers.MaxPooling2D(4), (5, 3, 9, 1), "output size below 1"),
        (
            lambda: layers.Dense(2),
            (5,),
            r"Dense 'dense': the input has the wrong number of axes, expected at least 2 \(batch, "
            r"..., features\), received shape \(None,\)",
        ),
        (
            lambda: layers.DepthwiseConv2D(3),
            (5, 28, 28),
            "DepthwiseConv2D 'depthwise_conv2d': the input has the wrong number of axes, expected",
        ),
        (lambda: layers.SeparableConv2D(1, 3), (5, 2, 9, 1), "output size below 1"),
        (lambda: layers.Conv2DTranspose(1, 3), (5, 9, 9), "expected 4"),
        (lambda: layers.AveragePooling2D(), (5, 9), r"expected 4 \(batch, height, width, channels"),
        (lambda: layers.GlobalAveragePooling2D(), (5, 9), "wrong number of axes, expected 4"),
        (lambda: layers.ZeroPadding2D(), (5, 9), "wrong number of axes, expected 4"),
        (lambda: layers.UpSampling2D(), (5, 9), "wrong number of axes, expected 4"),
        (
            lambda: layers.Reshape((3, 4)),
            (5, 10),
            r"Reshape 'reshape': the input does not fit target_shape, expected values for \(3, 4\)",
        ),
        (lambda: layers.Reshape((3, -1)), (5, 10), "does not fit target_shape"),
        (lambda: layers.Softmax(0), (5, 3), "axis names no axis of a sample"),
        (lambda: layers.Softmax(2), (5, 3), "axis names no axis of a sample"),
    ],
)
def test_input_shapes(layer: Callable[[], layers.Layer], shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer()(np.zeros(shape, np.float32))
    keras.utils.clear_session()
    with pytest.raises(ValueError, match=message):
        layer()(keras.Input(shape[1:]))


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (
            lambda: layers.Add(),
            [(5, 4, 3), (5, 4, 2)],
            r"Add 'add': the inputs do not fit together, expected equal sizes, or 1, received "
            r"\((None|5), 4, 3\), \((None|5), 4, 2\)",
        ),
        (lambda: layers.Add(), [(5, 3), (5, 1, 3)], "expected as many axes in each"),
        (
            lambda: layers.Concatenate(),
            [(5, 4, 3), (5, 3, 3)],
            "Concatenate 'concatenate': the inputs do not fit together, expected equal sizes but "
            "along axis -1",
        ),
        (lambda: layers.Concatenate(0), [(5, 3), (5, 3)], "axis names no axis of a sample"),
        (lambda: layers.Concatenate(2), [(5, 3), (5, 3)], "axis names no axis of a sample"),
    ],
)
def test_several_input_shapes(layer: Callable[[], layers.Layer], shapes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer()([keras.Input(shape[1:]) for shape in shapes])
    keras.utils.clear_session()
    with pytest.raises(ValueError, match=message):
        layer()([np.zeros(shape) for shape in shapes])


def test_a_built_layer_takes_its_own_channels_only() -> None:
    conv = layers.Conv2D(2, 3)
    conv(np.zeros((1, 5, 5, 3)))
    message = r"Conv2D 'conv2d': the input has the wrong channels, expected 3, received shape"
    with pytest.raises(ValueError, match=message):
        conv(np.zeros((1, 5, 5, 1)))
    dense = layers.Dense(2)
    dense(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"Dense 'dense': the input has the wrong last axis"):
        dense(np.zeros((1, 4)))


def test_weights_that_do_not_fit() -> None:
    layer = layers.Dense(2)
    with pytest.raises(ValueError, match="the layer must be built before its parameters"):
        layer.count_params()
    with pytest.raises(AttributeError, match="has no output"):
        _ = layer.output
    layer(np.zeros((1, 3)))
    before = layer.get_weights()
    with pytest.raises(ValueError, match="weights has the wrong length, expected 2, received 1"):
        layer.set_weights([np.zeros((3, 2))])
    with pytest.raises(ValueError, match="weights has the wrong shape for dense/bias"):
        layer.set_weights([np.ones((3, 2)), np.zeros(3)])
    assert np.array_equal(layer.get_weights()[0], before[0])
    with pytest.raises(ValueError, match="the initializer of w gives the wrong shape"):
        layer.add_weight((2,), lambda shape: np.zeros((*shape, 1)), name="w")
    with pytest.raises(ValueError, match="needs a known last axis"):
        layers.Dense(2)(keras.Input((3, None)))
