"""Layers under Keras' names."""

from fastconv.layers.activation import Activation, ReLU, Softmax
from fastconv.layers.convolution import Conv2D
from fastconv.layers.dense import Dense
from fastconv.layers.dropout import Dropout
from fastconv.layers.input import Input, InputLayer
from fastconv.layers.layer import Layer
from fastconv.layers.pooling import MaxPooling2D
from fastconv.layers.reshaping import Flatten
from fastconv.layers.variable import Variable

__all__ = [
    "Activation",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPooling2D",
    "ReLU",
    "Softmax",
    "Variable",
]
