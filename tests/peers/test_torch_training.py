"""Training steps of M1 beside PyTorch: same weights, same batches, the same loss at every step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import datasets
from seed_models import m1

torch = pytest.importorskip("torch", reason="compares with PyTorch: pip install torch")

STEPS = 50
BATCH = 128
TOLERANCE = 1e-4
"""What the project promises. Both sides round every sum differently, by about 1e-7 of a loss of 2.

A value within such a difference of a kink, of ReLU or between two maxima of a window, may fall on
different sides of it. Of the 900,000 windows of a step some do in 50 steps; each moves a gradient
by about 1e-3 of itself, and with a learning rate near the limit of stability that grows without
bound, on either side and against float64 as well. The learning rates here leave losses equal within
1e-5 whichever way such cases fall.
"""


class TorchM1(torch.nn.Module):  # type: ignore[misc]
    """M1 without dropout, in PyTorch's layout, with the weights of a fastconv model."""

    def __init__(self, model: keras.Sequential) -> None:
        super().__init__()
        kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3 = map(
            torch.from_numpy, model.get_weights()
        )
        self.conv_1 = torch.nn.Conv2d(1, 32, 3)
        self.conv_2 = torch.nn.Conv2d(32, 64, 3)
        self.dense = torch.nn.Linear(1600, 10)
        with torch.no_grad():
            self.conv_1.weight.copy_(kernel_1.permute(3, 2, 0, 1))
            self.conv_1.bias.copy_(bias_1)
            self.conv_2.weight.copy_(kernel_2.permute(3, 2, 0, 1))
            self.conv_2.bias.copy_(bias_2)
            self.dense.weight.copy_(kernel_3.T)
            self.dense.bias.copy_(bias_3)

    def forward(self, x: Any) -> Any:
        x = torch.nn.functional.max_pool2d(torch.relu(self.conv_1(x)), 2)
        x = torch.nn.functional.max_pool2d(torch.relu(self.conv_2(x)), 2)
        # Flatten in fastconv's order: rows, columns, channels.
        return self.dense(x.permute(0, 2, 3, 1).flatten(1))

    def weights(self) -> list[Any]:
        """The weights in fastconv's layout and order."""
        tensors = [
            self.conv_1.weight.permute(2, 3, 1, 0),
            self.conv_1.bias,
            self.conv_2.weight.permute(2, 3, 1, 0),
            self.conv_2.bias,
            self.dense.weight.T,
            self.dense.bias,
        ]
        return [tensor.detach().numpy() for tensor in tensors]


def keras_epsilon(epsilon: float, time: int) -> float:
    """The epsilon of torch's Adam that makes step `time` Keras'.

    Keras divides by sqrt(v) + eps and scales by sqrt(1 - b2^t); torch divides by
    sqrt(v) / sqrt(1 - b2^t) + eps.
    """
    return epsilon / math.sqrt(1 - 0.999**time)


def sample(count: int) -> tuple[Any, Any]:
    """Images `(count, 28, 28, 1)` in 0 .. 1 and labels of MNIST."""
    (x, y), _ = datasets.mnist.load_sample()
    return (x[:count].astype(np.float32) / 255)[..., None], y[:count].astype(np.int64)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_losses_of_every_step(optimizer: str) -> None:
    keras.utils.set_random_seed(1)
    images, labels = sample(6000)
    model = m1(dropout=0.0)
    other = TorchM1(model)
    rule: keras.optimizers.Optimizer
    if optimizer == "sgd":
        rule = keras.optimizers.SGD(0.01)
        torch_rule = torch.optim.SGD(other.parameters(), lr=0.01)
    else:
        rule = keras.optimizers.Adam(1e-4)
        torch_rule = torch.optim.Adam(other.parameters(), lr=1e-4, betas=(0.9, 0.999))
    model.compile(rule, "sparse_categorical_crossentropy")

    ours, theirs = [], []
    for step in range(STEPS):
        rows = np.arange(step * BATCH, (step + 1) * BATCH) % len(images)
        ours.append(model.train_on_batch(images[rows], labels[rows]))
        if optimizer == "adam":
            torch_rule.param_groups[0]["eps"] = keras_epsilon(1e-7, step + 1)
        torch_rule.zero_grad()
        logits = other(torch.from_numpy(images[rows]).permute(0, 3, 1, 2))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[rows]))
        loss.backward()
        torch_rule.step()
        theirs.append(loss.item())

    assert np.mean(theirs[-5:]) < np.mean(theirs[:5]) - 0.02, "nothing was learned"
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_gradients_of_one_step() -> None:
    keras.utils.set_random_seed(2)
    images, labels = sample(32)
    model = m1(dropout=0.0)
    other = TorchM1(model)
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.train_on_batch(images, labels)
    logits = other(torch.from_numpy(images).permute(0, 3, 1, 2))
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter -= parameter.grad
    for start, ours, theirs in zip(before, model.get_weights(), other.weights(), strict=True):
        size = np.abs(theirs - start).max()
        assert size > 0
        # Gradients are sums of some thousands of terms: sqrt(1e4) * 2^-24 of the largest, times a
        # few for what the layers above it rounded.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5 * size)
