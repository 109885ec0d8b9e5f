"""A network of `fastconv.networks` with its weights, told so that every library can build it.

Images are `(batch, height, width, channels)`; kernels are `(height, width, in, out)`; dense kernels
`(inputs, units)`, their inputs in the order rows, columns, channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv import activations, layers, networks
from fastconv.bench import workloads

__all__ = ["Conv", "Dense", "Dropout", "Flatten", "MaxPool", "Network", "Step", "network"]

Float32Array: TypeAlias = npt.NDArray[np.float32]

SEED = 1


class Conv(NamedTuple):
    """Convolution without padding, strides 1, and a bias; ReLU behind it if `relu`."""

    kernel: Float32Array
    bias: Float32Array
    relu: bool


class MaxPool(NamedTuple):
    """Max pooling with strides of its size; rows and columns that fill no window are dropped."""

    size: int


class Flatten(NamedTuple):
    """From images of `shape`, which is (height, width, channels), to rows."""

    shape: tuple[int, int, int]


class Dropout(NamedTuple):
    """Zeros with probability `rate`; the rest scaled by 1 / (1 - rate)."""

    rate: float


class Dense(NamedTuple):
    """Matrix product and a bias; ReLU behind it if `relu`."""

    kernel: Float32Array
    bias: Float32Array
    relu: bool


Step: TypeAlias = Conv | MaxPool | Flatten | Dropout | Dense


class Network(NamedTuple):
    """Steps from images to logits.

    Attributes:
        name: in `fastconv.networks`.
        softmax: whether a prediction ends in softmax. Training starts from the logits anyway.
        forward_flops: multiplications and additions of the dense rule for one image.
        first_flops: those of the first step that has weights.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    steps: tuple[Step, ...]
    softmax: bool
    forward_flops: int
    first_flops: int

    @property
    def training_flops(self) -> int:
        """For one image: forward, and both gradients of every layer but the first."""
        return 3 * self.forward_flops - self.first_flops

    def weights(self) -> list[Float32Array]:
        """Kernels and biases, in Keras' order."""
        with_weights = [step for step in self.steps if isinstance(step, Conv | Dense)]
        return [array for step in with_weights for array in (step.kernel, step.bias)]

    def layers(self) -> list[layers.Layer]:
        """New layers of fastconv, without weights yet."""
        every = networks.NETWORKS[self.name].layers(self.classes)
        if any(isinstance(step, Dropout) for step in self.steps):
            return every
        return [layer for layer in every if not isinstance(layer, layers.Dropout)]


def network(name: str, *, dropout: bool = True) -> Network:
    """The network with weights from a fixed seed: the same whoever asks.

    Glorot's limits as in Keras. Biases are not 0, so that a library that forgets them is found out.

    Args:
        name: a key of `workloads.MODELS`.
        dropout: False leaves the dropout out, whose masks differ from library to library.
    """
    rng = np.random.default_rng(SEED)
    input_shape, classes = workloads.MODELS[name]
    steps: list[Step] = []
    flops: list[int] = []
    shape: tuple[int, ...] = input_shape
    built = networks.build(name, input_shape, classes)
    for layer in built.layers:
        output = tuple(int(size or 0) for size in layer.compute_output_shape((1, *shape))[1:])
        if isinstance(layer, layers.Conv2D | layers.Dense):
            kernel = glorot(rng, layer.kernel.shape)
            bias = rng.uniform(-0.05, 0.05, kernel.shape[-1:]).astype(np.float32)
            relu = layer.activation is activations.relu
            kind = Conv if isinstance(layer, layers.Conv2D) else Dense
            steps.append(kind(kernel, bias, relu))
            flops.append(2 * kernel.size * math.prod(output[:-1]))
        elif isinstance(layer, layers.MaxPooling2D):
            steps.append(MaxPool(layer.pool_size[0]))
        elif isinstance(layer, layers.Flatten):
            height, width, channels = shape
            steps.append(Flatten((height, width, channels)))
        elif isinstance(layer, layers.Dropout):
            if dropout:
                steps.append(Dropout(layer.rate))
        else:
            raise TypeError(f"network: no step is known for {type(layer).__name__} of {name}")
        shape = output
    softmax = not networks.NETWORKS[name].from_logits
    return Network(name, input_shape, classes, tuple(steps), softmax, sum(flops), flops[0])


def glorot(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32Array:
    """Uniform between the limits of Glorot and Bengio (2010)."""
    window = math.prod(shape[:-2])
    limit = math.sqrt(6 / (window * (shape[-2] + shape[-1])))
    weights: Float32Array = rng.uniform(-limit, limit, shape).astype(np.float32)
    return weights
