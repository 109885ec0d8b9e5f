"""Layers under Keras' names."""

from fastconv.layers.activation import Activation, LeakyReLU, ReLU, Softmax
from fastconv.layers.convolution import Conv2D
from fastconv.layers.dense import Dense
from fastconv.layers.depthwise import DepthwiseConv2D
from fastconv.layers.dropout import Dropout
from fastconv.layers.global_pooling import GlobalAveragePooling2D, GlobalMaxPooling2D
from fastconv.layers.input import Input, InputLayer
from fastconv.layers.layer import Layer
from fastconv.layers.merging import Add, Concatenate
from fastconv.layers.normalization import BatchNormalization
from fastconv.layers.padding import ZeroPadding2D
from fastconv.layers.pooling import AveragePooling2D, MaxPooling2D
from fastconv.layers.rescaling import Rescaling
from fastconv.layers.reshaping import Flatten, Reshape
from fastconv.layers.separable import SeparableConv2D
from fastconv.layers.transposed import Conv2DTranspose
from fastconv.layers.upsampling import UpSampling2D
from fastconv.layers.variable import Variable

AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
MaxPool2D = MaxPooling2D

__all__ = [
    "Activation",
    "Add",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "Softmax",
    "UpSampling2D",
    "Variable",
    "ZeroPadding2D",
]
