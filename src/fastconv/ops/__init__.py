"""Convolution, pooling and dense operations on NumPy arrays, forward and backward.

Inputs are NumPy arrays, or arrays of other libraries that have `__dlpack__`, `__array_interface__`
or `__array__`, in the memory of the CPU, float32 or float64 and all of one dtype. They are taken
without a copy unless they are not C-contiguous or misaligned, and never modified. Results are NumPy
arrays on pooled memory (`fastconv.clear_cache()`), or the array given as `out`.

Every operation releases the GIL and takes `num_threads`: None is `fastconv.get_num_threads()`. The
bits of a result depend on neither the number of threads nor the place of an image in its batch.

`fastconv.reference` has the same functions in plain NumPy.
"""

from fastconv._types import Conv2DGradients
from fastconv.ops.convolution import conv2d, conv2d_gradients, conv2d_transpose
from fastconv.ops.dense import (
    log_softmax,
    matmul,
    relu,
    relu_gradient,
    softmax,
    softmax_cross_entropy,
)
from fastconv.ops.fused import conv2d_max_pool2d, conv2d_max_pool2d_gradients
from fastconv.ops.pooling import (
    average_pool2d,
    average_pool2d_gradient,
    max_pool2d,
    max_pool2d_gradient,
)
from fastconv.ops.random import dropout

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
