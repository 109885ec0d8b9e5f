"""Writes the files of this folder with the Keras that is installed; see README.md."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

STEPS = 3


def chain() -> keras.Model:
    """Layers one after the other, with and without bias, activation and name."""
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
        name="chain",
    )
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def graph() -> keras.Model:
    """Branches, a layer called twice, weights that nothing trains, and a schedule."""
    inputs = keras.Input((7, 8, 2), name="pixels")
    shared = layers.Conv2D(3, 3, padding="same", activation="tanh", name="shared")
    # No bias: the normalisation would take it off again, and its gradient be nothing but rounding.
    short = layers.Conv2D(3, 1, use_bias=False, name="short")(inputs)
    long = layers.DepthwiseConv2D(3, padding="same", name="long")(inputs)
    x = layers.Concatenate()([shared(inputs), short, shared(long)])
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(3)(x), name="graph")
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss)
    return model


def write(model: keras.Model) -> None:
    """The model after some steps, its outputs, and its weights after some more steps."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (16, 7, 8, 2)).astype(np.float32)
    y = rng.integers(0, 3, 16)
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    name = f"keras-{keras.__version__}-{model.name}"
    model.save(f"{name}.keras")
    if model.name == "chain":
        model.save_weights(f"{name}.weights.h5")
    weights = {f"weight_{index}": value for index, value in enumerate(model.get_weights())}
    outputs = model.predict(x, verbose=0)
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    later = {f"later_{index}": value for index, value in enumerate(model.get_weights())}
    np.savez_compressed(f"{name}.npz", x=x, y=y, outputs=outputs, **weights, **later)


def main() -> None:
    """All files of one version of Keras."""
    keras.utils.set_random_seed(1)
    write(chain())
    write(graph())


if __name__ == "__main__":
    main()
