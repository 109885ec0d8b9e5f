"""The models of the seeds, with the shapes and parameter counts that must come out.

Each builder takes the package that it builds with, fastconv or Keras: the code is the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import fastconv


class Row(NamedTuple):
    """A layer in the summary."""

    name: str
    output_shape: tuple[int | None, ...]
    parameters: int


def m1(keras: Any = fastconv, dropout: float = 0.5) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(10, activation="softmax"),
        ]
    )


M1_ROWS = [
    Row("conv2d (Conv2D)", (None, 26, 26, 32), 320),
    Row("max_pooling2d (MaxPooling2D)", (None, 13, 13, 32), 0),
    Row("conv2d_1 (Conv2D)", (None, 11, 11, 64), 18496),
    Row("max_pooling2d_1 (MaxPooling2D)", (None, 5, 5, 64), 0),
    Row("flatten (Flatten)", (None, 1600), 0),
    Row("dropout (Dropout)", (None, 1600), 0),
    Row("dense (Dense)", (None, 10), 16010),
]


def m3(keras: Any = fastconv) -> Any:
    layers = keras.layers
    model = keras.Sequential()
    relu = keras.activations.relu
    model.add(layers.Conv2D(64, (3, 3), activation=relu, input_shape=(28, 28, 1)))
    model.add(layers.MaxPooling2D(2, 2))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D(2, 2))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    return model


# 64 * (9 * 1 + 1), 64 * (9 * 64 + 1), 128 * (1600 + 1), 10 * (128 + 1)
M3_ROWS = [
    Row("conv2d (Conv2D)", (None, 26, 26, 64), 640),
    Row("max_pooling2d (MaxPooling2D)", (None, 13, 13, 64), 0),
    Row("conv2d_1 (Conv2D)", (None, 11, 11, 64), 36928),
    Row("max_pooling2d_1 (MaxPooling2D)", (None, 5, 5, 64), 0),
    Row("flatten (Flatten)", (None, 1600), 0),
    Row("dense (Dense)", (None, 128), 204928),
    Row("dense_1 (Dense)", (None, 10), 1290),
]


def m4(keras: Any = fastconv) -> Any:
    layers = keras.layers
    inputs = keras.Input(shape=(32, 32, 3))
    x = layers.Conv2D(32, (3, 3), activation="relu")(inputs)
    x = layers.MaxPooling2D((2, 2))(x)
    x = layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = layers.MaxPooling2D((2, 2))(x)
    x = layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(32, activation="relu")(x)
    outputs = layers.Dense(10)(x)
    return keras.Model(inputs=inputs, outputs=outputs, name="cifar_model")


M4_ROWS = [
    Row("input_layer (InputLayer)", (None, 32, 32, 3), 0),
    Row("conv2d (Conv2D)", (None, 30, 30, 32), 896),
    Row("max_pooling2d (MaxPooling2D)", (None, 15, 15, 32), 0),
    Row("conv2d_1 (Conv2D)", (None, 13, 13, 32), 9248),
    Row("max_pooling2d_1 (MaxPooling2D)", (None, 6, 6, 32), 0),
    Row("conv2d_2 (Conv2D)", (None, 4, 4, 32), 9248),
    Row("flatten (Flatten)", (None, 512), 0),
    Row("dense (Dense)", (None, 32), 16416),
    Row("dense_1 (Dense)", (None, 10), 330),
]


def m5(keras: Any = fastconv) -> Any:
    layers = keras.layers
    # The layers first and the calls after, as the lesson has it.
    conv1 = layers.Conv2D(16, kernel_size=(3, 3), activation="relu", input_shape=(28, 28, 1))
    conv2 = layers.Conv2D(32, kernel_size=(3, 3), activation="relu")
    mpool = layers.MaxPooling2D(pool_size=(2, 2))
    flat = layers.Flatten()
    dense1 = layers.Dense(128, activation="relu")
    dense2 = layers.Dense(10, activation="softmax")
    x_inputs = keras.Input(shape=(28, 28, 1))
    x = conv1(x_inputs)
    x = conv2(x)
    x = mpool(x)
    x = flat(x)
    x = dense1(x)
    output_yhat = dense2(x)
    return keras.Model(inputs=x_inputs, outputs=output_yhat, name="hello-world-cnn")


# 16 * (9 + 1), 32 * (9 * 16 + 1), 128 * (4608 + 1), 10 * (128 + 1)
M5_ROWS = [
    Row("input_layer (InputLayer)", (None, 28, 28, 1), 0),
    Row("conv2d (Conv2D)", (None, 26, 26, 16), 160),
    Row("conv2d_1 (Conv2D)", (None, 24, 24, 32), 4640),
    Row("max_pooling2d (MaxPooling2D)", (None, 12, 12, 32), 0),
    Row("flatten (Flatten)", (None, 4608), 0),
    Row("dense (Dense)", (None, 128), 589952),
    Row("dense_1 (Dense)", (None, 10), 1290),
]


def m6(keras: Any = fastconv) -> Any:
    layers = keras.layers
    return keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(100)])


M6_ROWS = [Row("flatten (Flatten)", (None, 3072), 0), Row("dense (Dense)", (None, 100), 307300)]


def m7(keras: Any = fastconv) -> Any:
    conv = keras.layers.Conv2D(100, 3, use_bias=False)
    return keras.Sequential([keras.Input((32, 32, 3)), conv])


M7_ROWS = [Row("conv2d (Conv2D)", (None, 30, 30, 100), 2700)]


def m8_convolution(keras: Any = fastconv) -> Any:
    return keras.Sequential([keras.layers.Conv2D(16, 3, input_shape=(28, 28, 1))])


M8_CONVOLUTION_ROWS = [Row("conv2d (Conv2D)", (None, 26, 26, 16), 160)]


def m8_dense(keras: Any = fastconv) -> Any:
    return keras.Sequential([keras.Input((784,)), keras.layers.Dense(16)])


M8_DENSE_ROWS = [Row("dense (Dense)", (None, 16), 12560)]


def m8_filter(keras: Any = fastconv) -> Any:
    return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(1, (5, 5))])


M8_FILTER_ROWS = [Row("conv2d (Conv2D)", (None, 24, 24, 1), 26)]


def m9_minimal(keras: Any = fastconv) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


# 4 * (9 + 1), 10 * (4 * 13 * 13 + 1)
M9_MINIMAL_ROWS = [
    Row("conv2d (Conv2D)", (None, 26, 26, 4), 40),
    Row("max_pooling2d (MaxPooling2D)", (None, 13, 13, 4), 0),
    Row("flatten (Flatten)", (None, 676), 0),
    Row("dense (Dense)", (None, 10), 6770),
]


def m9_eight_layers(keras: Any = fastconv) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, (3, 3), strides=1, activation="relu"),
            layers.Conv2D(8, (3, 3), strides=1, activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(16, (3, 3), strides=1, activation="relu"),
            layers.Conv2D(16, (3, 3), strides=1, activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


# 8 * (9 + 1), 8 * (72 + 1), 16 * (72 + 1), 16 * (144 + 1), 10 * (256 + 1)
M9_EIGHT_LAYERS_ROWS = [
    Row("conv2d (Conv2D)", (None, 26, 26, 8), 80),
    Row("conv2d_1 (Conv2D)", (None, 24, 24, 8), 584),
    Row("max_pooling2d (MaxPooling2D)", (None, 12, 12, 8), 0),
    Row("conv2d_2 (Conv2D)", (None, 10, 10, 16), 1168),
    Row("conv2d_3 (Conv2D)", (None, 8, 8, 16), 2320),
    Row("max_pooling2d_1 (MaxPooling2D)", (None, 4, 4, 16), 0),
    Row("flatten (Flatten)", (None, 256), 0),
    Row("dense (Dense)", (None, 10), 2570),
]

SEED_MODELS = {
    "M1": (m1, M1_ROWS, 34826),
    "M3": (m3, M3_ROWS, 243786),
    "M4": (m4, M4_ROWS, 36138),
    "M5": (m5, M5_ROWS, 596042),
    "M6": (m6, M6_ROWS, 307300),
    "M7": (m7, M7_ROWS, 2700),
    "M8 convolution": (m8_convolution, M8_CONVOLUTION_ROWS, 160),
    "M8 dense": (m8_dense, M8_DENSE_ROWS, 12560),
    "M8 filter": (m8_filter, M8_FILTER_ROWS, 26),
    "M9 minimal": (m9_minimal, M9_MINIMAL_ROWS, 6810),
    "M9 eight layers": (m9_eight_layers, M9_EIGHT_LAYERS_ROWS, 6722),
}
"""Name: (builder, rows, total)."""
