"""Writes the files of this folder with the Keras that is installed; see README.md."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

STEPS = 3


def main() -> None:
    """A compiled model after some steps, its outputs, and its weights after some more steps."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((7, 8, 2)),
            layers.Conv2D(3, (3, 2), padding="same", activation="tanh"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(4, 2, use_bias=False, name="second"),
            layers.Activation("sigmoid"),
            layers.Flatten(),
            layers.Dropout(0.0),
            layers.Dense(3, activation="softmax", kernel_initializer="he_normal"),
        ],
        name="golden",
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (16, 7, 8, 2)).astype(np.float32)
    y = rng.integers(0, 3, 16)
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    name = f"keras-{keras.__version__}"
    model.save(f"{name}.keras")
    model.save_weights(f"{name}.weights.h5")
    weights = {f"weight_{index}": value for index, value in enumerate(model.get_weights())}
    outputs = model.predict(x, verbose=0)
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    later = {f"later_{index}": value for index, value in enumerate(model.get_weights())}
    np.savez_compressed(f"{name}.npz", x=x, y=y, outputs=outputs, **weights, **later)


if __name__ == "__main__":
    main()
