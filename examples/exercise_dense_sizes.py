import fastconv as keras

# Over-fitting: the dense layer cut from 128 neurons to 64 and 32, beside 128 with dropout of 25 %.
import sys

import numpy as np
from fastconv import layers

quick = "--quick" in sys.argv  # 500 of the digits that come with the package, one epoch
mnist = keras.datasets.mnist
(x_train, y_train), (x_test, y_test) = mnist.load_sample() if quick else mnist.load_data()
if quick:
    x_train, y_train = x_train[::12], y_train[::12]
x_train = np.expand_dims(x_train.astype("float32") / 255, -1)
x_test = np.expand_dims(x_test.astype("float32") / 255, -1)


def create_model(neurons, dropout_rate):
    return keras.Sequential([
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(16, kernel_size=(3, 3), activation="relu"),
        layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dense(neurons, activation="relu"),
        layers.Dropout(dropout_rate),
        layers.Dense(10, activation="softmax"),
    ])


histories = {}
for neurons, dropout_rate in ((128, 0.0), (64, 0.0), (32, 0.0), (128, 0.25)):
    title = f"dense {neurons}" + (f", dropout {dropout_rate}" if dropout_rate else "")
    keras.utils.set_random_seed(0)
    model = create_model(neurons, dropout_rate)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, batch_size=128, epochs=1 if quick else 20, verbose=0,
                        validation_data=(x_test, y_test))
    seen, unseen = history.history["accuracy"][-1], history.history["val_accuracy"][-1]
    print(f"{title}: {model.count_params():,} parameters, "
          f"accuracy {100 * seen:.2f} % in training, {100 * unseen:.2f} % on new images")
    histories[title] = history
keras.utils.plot_history(histories, "exercise_dense_sizes.png")
print("exercise_dense_sizes.png shows the runs")
