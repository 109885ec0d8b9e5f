import fastconv as keras

# M3: the clothes classifier of the course notes, improved with convolutions.
import sys

quick = "--quick" in sys.argv
if quick:
    # Fashion-MNIST does not come with the package: digits, in the same format, take its place.
    print("--quick: trains on 1,000 handwritten digits instead of Fashion-MNIST")
    (train_images, train_labels), (test_images, test_labels) = keras.datasets.mnist.load_sample()
    train_images, train_labels = train_images[::6], train_labels[::6]
else:
    fashion_mnist = keras.datasets.fashion_mnist
    (train_images, train_labels), (test_images, test_labels) = fashion_mnist.load_data()
train_images, test_images = train_images / 255.0, test_images / 255.0

# The images go in without an axis of channels, as in the notes.
model = keras.Sequential([
    keras.layers.Conv2D(64, (3, 3), activation="relu", input_shape=(28, 28, 1)),
    keras.layers.MaxPooling2D(2, 2),
    keras.layers.Conv2D(64, (3, 3), activation="relu"),
    keras.layers.MaxPooling2D(2, 2),
    keras.layers.Flatten(),
    keras.layers.Dense(128, activation=keras.activations.relu),
    keras.layers.Dense(10, activation=keras.activations.softmax),
])
model.summary()

model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(train_images, train_labels, epochs=1 if quick else 5)
loss, accuracy = model.evaluate(test_images, test_labels, verbose=0)
print(f"Test accuracy: {100 * accuracy:.2f} %")
