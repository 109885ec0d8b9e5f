import fastconv as keras

# The same network on digits and on clothes, with precision and recall among the metrics.
import sys

import numpy as np
from fastconv import layers
from fastconv.datasets import fashion_mnist, mnist

quick = "--quick" in sys.argv  # 1,500 of the digits that come with the package, one epoch
epochs = 1 if quick else 10
datasets = {"mnist": mnist} if quick else {"mnist": mnist, "fashion_mnist": fashion_mnist}
CLOTHES = ["T-shirt/top", "trouser", "pullover", "dress", "coat",
           "sandal", "shirt", "sneaker", "bag", "ankle boot"]

for name, dataset in datasets.items():
    if quick:
        (x_train, y_train), (x_test, y_test) = mnist.load_sample()
        x_train, y_train = x_train[::4], y_train[::4]
    else:
        (x_train, y_train), (x_test, y_test) = dataset.load_data()
        assert x_train.shape == (60000, 28, 28)
        assert x_test.shape == (10000, 28, 28)
        assert y_train.shape == (60000,)
        assert y_test.shape == (10000,)
    x_train = np.expand_dims(x_train.astype("float32") / 255, -1)
    x_test = np.expand_dims(x_test.astype("float32") / 255, -1)
    # Precision and recall count every class of every image: labels have to be one-hot.
    y_train = keras.utils.to_categorical(y_train, 10)
    y_test = keras.utils.to_categorical(y_test, 10)

    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(16, kernel_size=(3, 3), activation="relu"),
        layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])
    model.compile(optimizer="adam", loss="categorical_crossentropy",
                  metrics=["accuracy", keras.metrics.Precision(name="precision"),
                           keras.metrics.Recall(name="recall")])
    history = model.fit(x_train, y_train, batch_size=128, epochs=epochs,
                        validation_data=(x_test, y_test))
    figures = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    print(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    keras.utils.plot_history(history, f"exercise_{name}_history.png")
    keras.utils.plot_confusion_matrix(y_test, model.predict(x_test, verbose=0),
                                      labels=CLOTHES if name == "fashion_mnist" else None,
                                      path=f"exercise_{name}_mistakes.png")
    print(f"exercise_{name}_history.png and exercise_{name}_mistakes.png show the run")
