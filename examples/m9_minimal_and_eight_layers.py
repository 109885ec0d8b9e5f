import fastconv as keras

# M9: the smallest convolutional network of the lecture, and its example with eight layers.
import sys

import numpy as np
from fastconv import layers

quick = "--quick" in sys.argv  # 1,500 of the digits that come with the package, one epoch
mnist = keras.datasets.mnist
(x_train, y_train), (x_test, y_test) = mnist.load_sample() if quick else mnist.load_data()
if quick:
    x_train, y_train = x_train[::4], y_train[::4]
x_train = np.expand_dims(x_train.astype("float32") / 255, -1)
x_test = np.expand_dims(x_test.astype("float32") / 255, -1)

minimal = keras.Sequential([
    keras.Input(shape=(28, 28, 1)),
    layers.Conv2D(32, (3, 3), activation="relu"),
    layers.MaxPooling2D((2, 2)),
    layers.Flatten(),
    layers.Dense(10, activation="softmax"),
], name="minimal")

# Layer 0 is the input; then conv, conv, max, conv, conv, max, and the output.
eight_layers = keras.Sequential([
    keras.Input(shape=(28, 28, 1)),
    layers.Conv2D(16, (3, 3), strides=1, activation="relu"),
    layers.Conv2D(16, (3, 3), strides=1, activation="relu"),
    layers.MaxPooling2D((2, 2)),
    layers.Conv2D(32, (3, 3), strides=1, activation="relu"),
    layers.Conv2D(32, (3, 3), strides=1, activation="relu"),
    layers.MaxPooling2D((2, 2)),
    layers.Flatten(),
    layers.Dense(10, activation="softmax"),
], name="eight_layers")

for model in (minimal, eight_layers):
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=128, epochs=1 if quick else 5)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"Test accuracy of {model.name}: {100 * accuracy:.2f} %")
