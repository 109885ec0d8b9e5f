"""The operations in plain NumPy: the specification that `fastconv.ops` is tested against.

Same names, arguments and results as `fastconv.ops`; sums are taken in float64 and rounded once.
Written to be checked by eye, not to be fast.
"""

from fastconv._types import Conv2DGradients
from fastconv.reference.convolution import conv2d, conv2d_gradients, conv2d_transpose
from fastconv.reference.dense import (
    log_softmax,
    matmul,
    relu,
    relu_gradient,
    softmax,
    softmax_cross_entropy,
)
from fastconv.reference.fused import conv2d_max_pool2d, conv2d_max_pool2d_gradients
from fastconv.reference.pooling import (
    average_pool2d,
    average_pool2d_gradient,
    max_pool2d,
    max_pool2d_gradient,
)
from fastconv.reference.random import dropout

__all__ = [
    "Conv2DGradients",
    "average_pool2d",
    "average_pool2d_gradient",
    "conv2d",
    "conv2d_gradients",
    "conv2d_max_pool2d",
    "conv2d_max_pool2d_gradients",
    "conv2d_transpose",
    "dropout",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "max_pool2d_gradient",
    "relu",
    "relu_gradient",
    "softmax",
    "softmax_cross_entropy",
]
