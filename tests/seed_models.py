"""The models of the seeds, with the shapes and parameter counts that must come out."""

from __future__ import annotations

from typing import NamedTuple

import fastconv as keras
from fastconv import layers


class Row(NamedTuple):
    """A layer in the summary."""

    name: str
    output_shape: tuple[int | None, ...]
    parameters: int


def m1(dropout: float = 0.5) -> keras.Sequential:
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


def m3() -> keras.Sequential:
    return keras.Sequential(
        [
            layers.Conv2D(64, (3, 3), activation=keras.activations.relu, input_shape=(28, 28, 1)),
            layers.MaxPooling2D(2, 2),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D(2, 2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


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


def m4() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input(shape=(32, 32, 3)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ],
        name="cifar_model",
    )


M4_ROWS = [
    Row("conv2d (Conv2D)", (None, 30, 30, 32), 896),
    Row("max_pooling2d (MaxPooling2D)", (None, 15, 15, 32), 0),
    Row("conv2d_1 (Conv2D)", (None, 13, 13, 32), 9248),
    Row("max_pooling2d_1 (MaxPooling2D)", (None, 6, 6, 32), 0),
    Row("conv2d_2 (Conv2D)", (None, 4, 4, 32), 9248),
    Row("flatten (Flatten)", (None, 512), 0),
    Row("dense (Dense)", (None, 32), 16416),
    Row("dense_1 (Dense)", (None, 10), 330),
]


def m6() -> keras.Sequential:
    return keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(100)])


M6_ROWS = [Row("flatten (Flatten)", (None, 3072), 0), Row("dense (Dense)", (None, 100), 307300)]


def m7() -> keras.Sequential:
    return keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(100, 3, use_bias=False)])


M7_ROWS = [Row("conv2d (Conv2D)", (None, 30, 30, 100), 2700)]


def m8_convolution() -> keras.Sequential:
    return keras.Sequential([layers.Conv2D(16, 3, input_shape=(28, 28, 1))])


M8_CONVOLUTION_ROWS = [Row("conv2d (Conv2D)", (None, 26, 26, 16), 160)]


def m8_dense() -> keras.Sequential:
    return keras.Sequential([keras.Input((784,)), layers.Dense(16)])


M8_DENSE_ROWS = [Row("dense (Dense)", (None, 16), 12560)]


def m8_filter() -> keras.Sequential:
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(1, (5, 5))])


M8_FILTER_ROWS = [Row("conv2d (Conv2D)", (None, 24, 24, 1), 26)]

SEED_MODELS = {
    "M1": (m1, M1_ROWS, 34826),
    "M3": (m3, M3_ROWS, 243786),
    "M4": (m4, M4_ROWS, 36138),
    "M6": (m6, M6_ROWS, 307300),
    "M7": (m7, M7_ROWS, 2700),
    "M8 convolution": (m8_convolution, M8_CONVOLUTION_ROWS, 160),
    "M8 dense": (m8_dense, M8_DENSE_ROWS, 12560),
    "M8 filter": (m8_filter, M8_FILTER_ROWS, 26),
}
"""Name: (builder, rows, total)."""
