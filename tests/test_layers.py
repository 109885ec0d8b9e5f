"""Layers: names, shapes, weights, results against the reference, layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, reference
from fastconv.layers import Layer
from support.arrays import assert_equal, integers

pytestmark = pytest.mark.usefixtures("fresh_names")


def images(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return integers(1, *shape).astype(np.float32)


def set_integer_weights(layer: Layer, seed: int = 2) -> None:
    layer.set_weights([integers(seed, *weight.shape) for weight in layer.weights])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: layers.Conv2D(1, 1), "conv2d"),
        (lambda: layers.Conv2DTranspose(1, 1), "conv2d_transpose"),
        (lambda: layers.DepthwiseConv2D(1), "depthwise_conv2d"),
        (lambda: layers.SeparableConv2D(1, 1), "separable_conv2d"),
        (layers.BatchNormalization, "batch_normalization"),
        (layers.MaxPooling2D, "max_pooling2d"),
        (layers.AveragePooling2D, "average_pooling2d"),
        (layers.GlobalAveragePooling2D, "global_average_pooling2d"),
        (layers.GlobalMaxPooling2D, "global_max_pooling2d"),
        (layers.ZeroPadding2D, "zero_padding2d"),
        (layers.UpSampling2D, "up_sampling2d"),
        (lambda: layers.Reshape((1,)), "reshape"),
        (lambda: layers.Rescaling(1), "rescaling"),
        (layers.LeakyReLU, "leaky_re_lu"),
        (layers.Add, "add"),
        (layers.Concatenate, "concatenate"),
        (layers.Flatten, "flatten"),
        (lambda: layers.Dropout(0.5), "dropout"),
        (lambda: layers.Dense(1), "dense"),
        (lambda: layers.Activation("relu"), "activation"),
        (layers.ReLU, "re_lu"),
        (layers.Softmax, "softmax"),
        (lambda: keras.Input((1,)), "input_layer"),
        (keras.Sequential, "sequential"),
    ],
)
def test_automatic_names(make: Any, name: str) -> None:
    assert [make().name for _ in range(3)] == [name, f"{name}_1", f"{name}_2"]
    keras.utils.clear_session()
    assert make().name == name


def test_given_names_take_no_number() -> None:
    assert layers.Dense(1, name="head").name == "head"
    assert layers.Dense(1).name == "dense"


def test_sizes_that_are_not_known_stay_so() -> None:
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(4, 3)(x)
    assert y.shape == (None, None, None, 4)
    for layer in (
        layers.MaxPooling2D(),
        layers.AveragePooling2D(),
        layers.BatchNormalization(),
        layers.Conv2DTranspose(4, 3),
        layers.DepthwiseConv2D(3),
        layers.SeparableConv2D(4, 3),
        layers.UpSampling2D(),
        layers.ZeroPadding2D(),
    ):
        assert layer(y).shape == (None, None, None, 4)
    assert layers.GlobalAveragePooling2D()(y).shape == (None, 4)
    assert layers.Reshape((-1, 2))(y).shape == (None, None, 2)
    assert layers.Add()([y, y]).shape == (None, None, None, 4)
    assert layers.Concatenate()([y, y]).shape == (None, None, None, 8)
    assert layers.Concatenate(1)([y, keras.Input((7, 5, 4))]).shape == (None, None, 5, 4)
    assert layers.Flatten()(y).shape == (None, None)
    assert layers.Conv2D(4, 3, padding="same")(keras.Input((8, None, 3))).shape == (
        None,
        8,
        None,
        4,
    )


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": 2, "padding": "same"},
        {"dilation_rate": (1, 2)},
        {"groups": 2, "use_bias": False},
    ],
)
def test_conv2d_is_the_reference(options: dict[str, Any], activation: str | None) -> None:
    layer = layers.Conv2D(6, (3, 2), activation=activation, **options)
    x = images(2, 8, 7, 4)
    layer(x)
    set_integer_weights(layer)
    kernel, *bias = layer.get_weights()
    use = {key: value for key, value in options.items() if key != "use_bias"}
    expected = reference.conv2d(x, kernel, *bias, activation=activation, **use)
    assert_equal(layer(x), expected)


def test_activation_that_is_not_fused() -> None:
    layer = layers.Conv2D(3, 2, activation="tanh")
    x = images(2, 4, 4, 1)
    layer(x)
    kernel, bias = layer.get_weights()
    # tanh has a slope of at most 1: the two convolutions' rounding, 2 gamma_5 |x|*|w|, and tanh's
    # own few ulps stay below 1e-5 for sums of 4 products within 4 * 1.
    np.testing.assert_allclose(layer(x), np.tanh(reference.conv2d(x, kernel, bias)), atol=1e-5)


def test_dense_is_the_reference() -> None:
    layer = layers.Dense(3, activation="relu")
    x = images(2, 4, 5)
    layer(x)
    set_integer_weights(layer)
    kernel, bias = layer.get_weights()
    assert_equal(layer(x), np.maximum(x @ kernel + bias, 0))


@pytest.mark.parametrize("training", [False, True])
def test_max_pooling_is_the_reference(training: bool) -> None:
    x = images(2, 7, 6, 3)
    assert_equal(layers.MaxPooling2D()(x, training=training), reference.max_pool2d(x))


def test_flatten_takes_rows_from_top_to_bottom() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    assert layers.Flatten()(x).tolist() == [list(range(12))]


def test_inputs_are_cast_and_never_changed() -> None:
    layer = layers.Dense(2)
    for dtype in (np.uint8, np.int64, np.float64, np.float16, np.bool_):
        x = np.ones((3, 4), dtype)
        y = layer(x)
        assert y.dtype == np.float32
        assert np.array_equal(x, np.ones((3, 4), dtype))
    x = images(3, 4)
    before = x.copy()
    for other in (layers.ReLU(), layers.Activation("softmax"), layers.Softmax(), layers.ReLU(1.0)):
        other(x)
        assert_equal(x, before)


def test_dropout_acts_in_training_only() -> None:
    layer = layers.Dropout(0.25, seed=3)
    x = np.ones((100, 100), np.float32)
    assert_equal(layer(x), x)
    y = layer(x, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    # 10,000 draws of probability 0.75: five standard deviations are 5 * sqrt(10000 * 3 / 16).
    assert abs(np.count_nonzero(y) - 7500) < 5 * np.sqrt(10000 * 3 / 16)


def test_dropout_masks_do_not_come_again() -> None:
    layer = layers.Dropout(0.5, seed=3)
    x = np.ones((9, 7), np.float32)
    masks = {layer(x, training=True).tobytes() for _ in range(50)}
    assert len(masks) == 50
    again = layers.Dropout(0.5, seed=3)
    assert {again(x, training=True).tobytes() for _ in range(50)} == masks
    other = layers.Dropout(0.5, seed=4)
    assert not masks & {other(x, training=True).tobytes() for _ in range(50)}


@pytest.mark.parametrize(("rate", "kept"), [(0, 1.0), (1, 0.0)])
def test_dropout_at_the_ends(rate: float, kept: float) -> None:
    x = np.ones((5, 5), np.float32)
    assert_equal(layers.Dropout(rate)(x, training=True), x * np.float32(kept))


def test_relu_layer_in_general() -> None:
    x = np.float32([[-10, -5, 0, 5, 10, np.nan]])
    assert_equal(layers.ReLU()(x), np.float32([[0, 0, 0, 5, 10, np.nan]]))
    # Keras' own example.
    general = layers.ReLU(max_value=10, negative_slope=0.5, threshold=0)
    assert_equal(general(x), np.float32([[-5, -2.5, 0, 5, 10, np.nan]]))
    assert_equal(layers.ReLU(6, threshold=5.5)(x), np.float32([[0, 0, 0, 0, 6, np.nan]]))


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_softmax_layer_sums_to_one(axis: int) -> None:
    y = layers.Softmax(axis)(images(2, 3, 4))
    # Rounding of at most 4 quotients and their sum.
    np.testing.assert_allclose(y.sum(axis=axis), 1, atol=8 * np.finfo(np.float32).eps)


def test_weights_are_variables() -> None:
    layer = layers.Dense(2, name="head")
    with pytest.raises(AttributeError):
        _ = layer.kernel
    layer(images(1, 3))
    assert layer.kernel.path == "head/kernel"
    assert layer.kernel.shape == (3, 2)
    assert layer.kernel.dtype == "float32"
    assert [variable.name for variable in layer.weights] == ["kernel", "bias"]
    layer.kernel.assign(np.ones((3, 2)))
    assert_equal(layer.kernel.numpy(), np.ones((3, 2), np.float32))
    assert_equal(np.asarray(layer.kernel), np.ones((3, 2), np.float32))
    copy = layer.get_weights()[0]
    copy[:] = 7
    assert_equal(layer.kernel.value, np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"head/kernel: value has the wrong shape"):
        layer.kernel.assign(np.ones((2, 2)))


def test_trainable() -> None:
    layer = layers.Dense(2, trainable=False)
    layer(images(1, 3))
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == len(layer.weights) == 2
    layer.trainable = True
    assert len(layer.trainable_variables) == 2
    assert layer.non_trainable_variables == []


def test_a_layer_of_ones_own() -> None:
    class Scale(Layer):
        def build(self, input_shape: tuple[int | None, ...]) -> None:  # noqa: ARG002
            self.factor = self.add_weight((), "ones", name="factor")
            self.count = self.add_weight((1,), "zeros", name="count", trainable=False)

        def compute_output_shape(
            self, input_shape: tuple[int | None, ...]
        ) -> tuple[int | None, ...]:
            return input_shape

        def forward(self, x: Any, *, training: bool) -> tuple[Any, Any]:  # noqa: ARG002
            return x * self.factor.value, x

        def backward(self, grad: Any, saved: Any, *, need_input_gradient: bool) -> Any:
            self.factor.gradient[...] = np.sum(grad * saved)
            return grad * self.factor.value if need_input_gradient else None

    model = keras.Sequential([keras.Input((2,)), Scale(name="scale")])
    assert [v.path for v in model.weights] == ["scale/factor", "scale/count"]
    assert [v.path for v in model.trainable_weights] == ["scale/factor"]
    model.compile(keras.optimizers.SGD(0.5), "mse")
    # Loss mean((f x - y)^2) over 1, 2 and 2, 4: its gradient is (1 * (1 - 2) + 2 * (2 - 4)) = -5.
    assert model.train_on_batch([[1.0, 2.0]], [[2.0, 4.0]]) == 2.5
    assert [w.tolist() for w in model.get_weights()] == [3.5, [0.0]]
