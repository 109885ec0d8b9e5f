import fastconv as keras

# M4: the functional model of the lesson on CIFAR-10, which ends in logits; plots its training.
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

inputs = keras.Input(shape=train_images.shape[1:])
x = keras.layers.Conv2D(32, (3, 3), activation="relu")(inputs)
x = keras.layers.MaxPooling2D((2, 2))(x)
x = keras.layers.Conv2D(32, (3, 3), activation="relu")(x)
x = keras.layers.MaxPooling2D((2, 2))(x)
x = keras.layers.Conv2D(32, (3, 3), activation="relu")(x)
x = keras.layers.Flatten()(x)
x = keras.layers.Dense(32, activation="relu")(x)
outputs = keras.layers.Dense(10)(x)
model = keras.Model(inputs=inputs, outputs=outputs, name="cifar_model")
model.summary()

model.compile(optimizer="adam",
              loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
              metrics=["accuracy"])
history = model.fit(train_images, train_labels, epochs=2 if quick else 20,
                    validation_data=(test_images, test_labels))
keras.utils.plot_history(history, "m4_cifar10.png")
print("m4_cifar10.png shows the training")
