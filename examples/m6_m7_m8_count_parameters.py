import fastconv as keras

# M6, M7, M8: how many parameters a dense and a convolutional layer have. Needs no data.
from fastconv import layers

# M6: 100 hidden units on the pixels of a 32x32 colour image.
width, height = (32, 32)
channels = 3
n_hidden_neurons = 100
n_bias = 100
n_input_items = width * height * channels
n_parameters = (n_input_items * n_hidden_neurons) + n_bias
dense = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(100)])
print(f"Dense 100 on 32x32x3: {dense.count_params()} parameters, by hand {n_parameters}")

# M7: 100 convolution kernels of 3x3x3 on it, without bias terms.
convolution = keras.Sequential([
    keras.Input((32, 32, 3)),
    layers.Conv2D(100, (3, 3), use_bias=False),
])
print(f"Conv2D 100 3x3 on 32x32x3: {convolution.count_params()} parameters, by hand {100 * 27}")

# M8: 16 feature maps with a 3x3 neighbourhood of an MNIST image, and 16 dense outputs.
convolution = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(16, (3, 3))])
dense = keras.Sequential([keras.Input((784,)), layers.Dense(16)])
by_hand = 16 * (3 * 3 * 1 + 1), 16 * (784 + 1)
print(f"Conv2D 16 3x3 on 28x28x1: {convolution.count_params()} parameters, by hand {by_hand[0]}")
print(f"Dense 16 on 784 inputs: {dense.count_params()} parameters, by hand {by_hand[1]}")

# The feature map of a single 5x5 filter on an image of 28x28.
single = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(1, (5, 5))])
_, rows, columns, _ = single.output_shape
print(f"A 5x5 filter on 28x28: a feature map of {rows}x{columns}")
