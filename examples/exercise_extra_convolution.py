import fastconv as keras

# Does one more convolution after the last pooling mean more parameters? Trains both and plots.
import sys

import numpy as np

quick = "--quick" in sys.argv
if quick:
    # CIFAR-10 does not come with the package. Nothing can be learned from noise but its format.
    print("--quick: trains on 256 random images in the format of CIFAR-10")
    random = np.random.default_rng(0)
    train_images, test_images = random.integers(0, 256, (2, 256, 32, 32, 3), dtype=np.uint8)
    train_labels, test_labels = random.integers(0, 10, (2, 256, 1), dtype=np.uint8)
else:
    cifar10 = keras.datasets.cifar10
    (train_images, train_labels), (test_images, test_labels) = cifar10.load_data()
train_images = train_images.astype("float32") / 255
test_images = test_images.astype("float32") / 255


def create_model(extra_layer):
    inputs = keras.Input(shape=train_images.shape[1:])
    x = keras.layers.Conv2D(32, (3, 3), activation="relu")(inputs)
    x = keras.layers.MaxPooling2D((2, 2))(x)
    x = keras.layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = keras.layers.MaxPooling2D((2, 2))(x)
    if extra_layer:
        x = keras.layers.Conv2D(32, (3, 3), activation="relu")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(32, activation="relu")(x)
    outputs = keras.layers.Dense(10)(x)
    return keras.Model(inputs=inputs, outputs=outputs, name="cifar_model")


histories = {}
for title, extra_layer in (("without", False), ("with the extra convolution", True)):
    keras.utils.set_random_seed(0)
    model = create_model(extra_layer)
    print(f"{title}: {model.count_params():,} parameters")
    model.compile(optimizer="adam",
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])
    histories[title] = model.fit(train_images, train_labels, epochs=2 if quick else 20,
                                 validation_data=(test_images, test_labels))
keras.utils.plot_history(histories, "exercise_extra_convolution.png")
print("exercise_extra_convolution.png shows both runs")
