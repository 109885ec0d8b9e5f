"""A network in PyTorch, written as functions, without the cost of modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from fastconv.bench.data import Batch
from fastconv.bench.models import Conv, Dense, Dropout, Flatten, MaxPool, Network

torch: Any = importlib.import_module("torch")
F: Any = torch.nn.functional

FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
"""By the mode of a network."""


def image_tensor(array: Any, mode: str) -> Any:
    """`(N, H, W, C)` as a tensor `(N, C, H, W)` in the layout of the mode."""
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=FORMATS[mode])


def tensor_batches(batches: Sequence[Batch], mode: str) -> list[Any]:
    """Images and labels."""
    return [(image_tensor(x, mode), torch.from_numpy(y)) for x, y in batches]


class TorchNetwork:
    """Logits of images, by functions of `torch.nn.functional`.

    Attributes:
        parameters: what an optimizer trains.
        softmax: whether predictions end in it.
    """

    def __init__(self, network: Network, mode: str) -> None:
        self.parameters: list[Any] = []
        self.softmax = network.softmax
        self._steps: list[Callable[[Any, bool], Any]] = []
        flattened = None
        for step in network.steps:
            match step:
                case Conv(kernel, bias, relu):
                    weight = torch.from_numpy(kernel).permute(3, 2, 0, 1)
                    weight = weight.contiguous(memory_format=FORMATS[mode])
                    self._add(F.conv2d, weight, bias, relu)
                case MaxPool(size):
                    self._steps.append(lambda x, _, size=size: F.max_pool2d(x, size))  # type: ignore[misc]
                case Flatten(shape) if mode == "channels last":
                    # No copy in this layout, and the order of fastconv's weights.
                    self._steps.append(lambda x, _: x.permute(0, 2, 3, 1).flatten(1))
                case Flatten(shape):
                    flattened = shape
                    self._steps.append(lambda x, _: x.flatten(1))
                case Dropout(rate):
                    self._steps.append(lambda x, training, rate=rate: F.dropout(x, rate, training))  # type: ignore[misc]
                case Dense(kernel, bias, relu):
                    weight = torch.from_numpy(kernel).T
                    if flattened is not None:
                        weight = weight.unflatten(1, flattened).permute(0, 3, 1, 2).flatten(1)
                        flattened = None
                    self._add(F.linear, weight.contiguous(), bias, relu)

    def _add(self, function: Any, weight: Any, bias: Any, relu: bool) -> None:
        weight = torch.nn.Parameter(weight)
        bias = torch.nn.Parameter(torch.from_numpy(bias))
        self.parameters += [weight, bias]

        def step(x: Any, _: bool) -> Any:
            y = function(x, weight, bias)
            return F.relu(y, inplace=True) if relu else y

        self._steps.append(step)

    def logits(self, x: Any, training: bool) -> Any:
        """`(N, classes)`."""
        for step in self._steps:
            x = step(x, training)
        return x

    def loss(self, x: Any, y: Any) -> Any:
        """Mean cross-entropy, in training mode."""
        return F.cross_entropy(self.logits(x, True), y)

    def prediction(self, x: Any) -> Any:
        """Probabilities, or logits of networks that end in them."""
        logits = self.logits(x, False)
        return torch.softmax(logits, 1) if self.softmax else logits


def training_step(network: TorchNetwork, loss: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A step of Adam on `loss(x, y)` of the network."""
    # The defaults of Keras; torch's epsilon would be 1e-8.
    optimizer = torch.optim.Adam(network.parameters, lr=1e-3, eps=1e-7, fused=True)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        result = loss(x, y)
        result.backward()
        optimizer.step()
        return result.detach()

    return step
