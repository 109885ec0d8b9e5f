"""JAX by hand: one compiled function for a training step, one for a prediction."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fastconv.bench.data import Batch
from fastconv.bench.job import Job, prediction_job, training_job
from fastconv.bench.models import Conv, Dense, Dropout, Flatten, MaxPool, Network

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")

DIMENSIONS = {"channels last": ("NHWC", "HWIO", "NHWC"), "contiguous": ("NCHW", "OIHW", "NCHW")}


def configure(threads: int) -> None:  # noqa: ARG001
    """Choose the fast random numbers; the environment of the process has the number of threads."""
    jax.config.update("jax_default_prng_impl", "rbg")


def train(network: Network, batches: Sequence[Batch], mode: str) -> Job:
    """Adam on the cross-entropy."""

    def loss(weights: Any, x: Any, y: Any, key: Any) -> Any:
        scores = jax.nn.log_softmax(logits(network, weights, x, mode, key))
        return -jnp.mean(jnp.take_along_axis(scores, y[:, None], axis=1))

    def step(state: Any, x: Any, y: Any) -> Any:
        weights, means, squares, time, key = state
        key, here = jax.random.split(key)
        value, gradients = jax.value_and_grad(loss)(weights, x, y, here)
        time = time + 1
        rate = 1e-3 * jnp.sqrt(1 - 0.999**time) / (1 - 0.9**time)
        join = jax.tree.map
        means = join(lambda mean, grad: mean + 0.1 * (grad - mean), means, gradients)
        squares = join(lambda square, grad: square + 0.001 * (grad**2 - square), squares, gradients)
        weights = join(
            lambda weight, mean, square: weight - rate * mean / (jnp.sqrt(square) + 1e-7),
            weights,
            means,
            squares,
        )
        return (weights, means, squares, time, key), value

    compiled = jax.jit(step, donate_argnums=0)
    weights = _weights(network, mode)
    means, squares = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    state = (weights, means, squares, jnp.zeros(()), jax.random.key(0))

    def run(x: Any, y: Any) -> Any:
        nonlocal state
        state, value = compiled(state, x, y)
        jax.block_until_ready(state)
        return value

    return training_job(run, [(_images(x, mode), jnp.asarray(y)) for x, y in batches])


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:
    """Probabilities, or logits of networks that end in them."""
    weights = _weights(network, mode)

    # Weights as constants, which the compiler may lay out as it likes.
    @jax.jit  # type: ignore[untyped-decorator]
    def compiled(x: Any) -> Any:
        result = logits(network, weights, x, mode, None)
        return jax.nn.softmax(result) if network.softmax else result

    return prediction_job(
        lambda x: compiled(x).block_until_ready(), [_images(x, mode) for x in inputs]
    )


def logits(network: Network, weights: Any, x: Any, mode: str, key: Any) -> Any:
    """`(N, classes)`; with dropout if there is a key."""
    held = iter(weights)
    for step in network.steps:
        match step:
            case Conv(relu=relu):
                kernel, bias = next(held)
                x = jax.lax.conv_general_dilated(
                    x, kernel, (1, 1), "VALID", dimension_numbers=DIMENSIONS[mode]
                )
                x = x + (bias if mode == "channels last" else bias[:, None, None])
                x = jax.nn.relu(x) if relu else x
            case MaxPool(size):
                across = (1, size, size, 1) if mode == "channels last" else (1, 1, size, size)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, across, across, "VALID")
            case Flatten():
                if mode != "channels last":
                    x = jnp.transpose(x, (0, 2, 3, 1))
                x = x.reshape(len(x), -1)
            case Dropout(rate):
                if key is not None:
                    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
                    x = jnp.where(keep, x / (1 - rate), 0)
            case Dense(relu=relu):
                kernel, bias = next(held)
                x = x @ kernel + bias
                x = jax.nn.relu(x) if relu else x
    return x


def _weights(network: Network, mode: str) -> Any:
    """Pairs of kernel and bias."""
    pairs = []
    for step in network.steps:
        if isinstance(step, Conv | Dense):
            kernel = jnp.array(step.kernel)
            if isinstance(step, Conv) and mode != "channels last":
                kernel = jnp.transpose(kernel, (3, 2, 0, 1))
            pairs.append((kernel, jnp.array(step.bias)))
    return pairs


def _images(x: Any, mode: str) -> Any:
    images = jnp.asarray(x)
    return images if mode == "channels last" else jnp.transpose(images, (0, 3, 1, 2))
