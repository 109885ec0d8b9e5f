import fastconv as keras

# Does the CIFAR-10 network over-fit on clothes, and what does more and more dropout do?
import sys

import numpy as np
from fastconv import layers

quick = "--quick" in sys.argv
if quick:
    # Fashion-MNIST does not come with the package: digits, in the same format, take its place.
    print("--quick: trains on 500 handwritten digits instead of Fashion-MNIST")
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_sample()
    x_train, y_train = x_train[::12], y_train[::12]
else:
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
x_train = np.expand_dims(x_train.astype("float32") / 255, -1)
x_test = np.expand_dims(x_test.astype("float32") / 255, -1)


def create_model(dropout_rate):
    inputs = keras.Input(shape=x_train.shape[1:])
    x = layers.Conv2D(32, (3, 3), activation="relu")(inputs)
    x = layers.MaxPooling2D((2, 2))(x)
    x = layers.Dropout(dropout_rate)(x)
    x = layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = layers.MaxPooling2D((2, 2))(x)
    x = layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(dropout_rate)(x)
    x = layers.Dense(32, activation="relu")(x)
    outputs = layers.Dense(10)(x)
    return keras.Model(inputs=inputs, outputs=outputs, name=f"dropout_{100 * dropout_rate:.0f}")


histories = {}
for dropout_rate in (0.0, 0.25, 0.5, 0.75):
    keras.utils.set_random_seed(0)
    model = create_model(dropout_rate)
    model.compile(optimizer="adam",
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])
    history = model.fit(x_train, y_train, batch_size=128, epochs=1 if quick else 20, verbose=0,
                        validation_data=(x_test, y_test))
    seen, unseen = history.history["accuracy"][-1], history.history["val_accuracy"][-1]
    print(f"dropout {dropout_rate}: accuracy {100 * seen:.2f} % in training, "
          f"{100 * unseen:.2f} % on new images")
    histories[f"dropout {dropout_rate}"] = history
keras.utils.plot_history(histories, "exercise_dropout_rates.png")
print("exercise_dropout_rates.png shows the runs")
