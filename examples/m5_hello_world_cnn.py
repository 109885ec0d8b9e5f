import fastconv as keras

# M5: the blanks of the lesson filled in; a functional model that works on digits and on clothes.
import sys

import numpy as np
from fastconv.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D

quick = "--quick" in sys.argv  # 1,500 of the digits that come with the package, one epoch
data = keras.datasets.fashion_mnist if "--fashion" in sys.argv else keras.datasets.mnist
if quick:
    (X_train, y_train), (X_test, y_test) = keras.datasets.mnist.load_sample()
    X_train, y_train = X_train[::4], y_train[::4]
else:
    (X_train, y_train), (X_test, y_test) = data.load_data()
X_train = np.expand_dims(X_train.astype("float32") / 255, -1)
X_test = np.expand_dims(X_test.astype("float32") / 255, -1)
num_classes = 10

# define the network
conv1 = Conv2D(16, kernel_size=(3, 3), activation="relu", input_shape=X_train.shape[1:])
conv2 = Conv2D(32, kernel_size=(3, 3), activation="relu")
mpool = MaxPooling2D(pool_size=(2, 2))

# MLP layers
flat = Flatten()
dense1 = Dense(128, activation="relu")
dense2 = Dense(num_classes, activation="softmax")

# compile and train
x_inputs = Input(shape=X_train.shape[1:])
x = conv1(x_inputs)
x = conv2(x)
x = mpool(x)
x = flat(x)
x = dense1(x)
output_yhat = dense2(x)

model = keras.Model(inputs=x_inputs, outputs=output_yhat, name="hello-world-cnn")
model.summary()
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(X_train, y_train, batch_size=128, epochs=1 if quick else 5)
loss, accuracy = model.evaluate(X_test, y_test, verbose=0)
print(f"Test accuracy: {100 * accuracy:.2f} %")
