"""A small model, its data, and a callback that puts figures in the logs."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastconv as keras
from fastconv import layers
from fastconv.callbacks import Callback

X = np.random.default_rng(1).normal(size=(10, 2))
Y = np.arange(10) % 2


def model(rate: Any = 0.5) -> keras.Sequential:
    made = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="softmax")])
    loss = "sparse_categorical_crossentropy"
    made.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return made


class Script(Callback):
    """Puts figures of its own in the logs, one an epoch."""

    def __init__(self, **figures: list[float]) -> None:
        self.figures = figures

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs |= {name: values[epoch] for name, values in self.figures.items()}
