"""Keras 3 on the backend that the environment of the process names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.bench.data import Batch
from fastconv.bench.job import CHECKED_STEPS, Job, prediction_job, training_job
from fastconv.bench.models import Conv, Dense, Dropout, Flatten, MaxPool, Network

keras: Any = importlib.import_module("keras")
BACKEND: str = keras.backend.backend()


def configure(threads: int) -> None:
    """Use so many threads; JAX has their number from the environment of the process."""
    if BACKEND == "tensorflow":
        tensorflow = importlib.import_module("tensorflow")
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    elif BACKEND == "torch":
        importlib.import_module("torch").set_num_threads(threads)


def build(network: Network) -> Any:
    """The same layers, with the weights of `network`."""
    layers = keras.layers
    stack = [keras.Input(network.input_shape)]
    for step in network.steps:
        match step:
            case Conv(kernel, _, relu):
                filters, size = kernel.shape[3], kernel.shape[:2]
                stack.append(layers.Conv2D(filters, size, activation="relu" if relu else None))
            case MaxPool(size):
                stack.append(layers.MaxPooling2D(size))
            case Flatten():
                stack.append(layers.Flatten())
            case Dropout(rate):
                stack.append(layers.Dropout(rate))
            case Dense(kernel, _, relu):
                stack.append(layers.Dense(kernel.shape[1], activation="relu" if relu else None))
    if network.softmax:
        stack[-1].activation = keras.activations.softmax
    model = keras.Sequential(stack)
    model.set_weights(network.weights())
    return model


def train(network: Network, batches: Sequence[Batch], mode: str) -> Job:
    """Adam on the cross-entropy."""
    model = build(network)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not network.softmax)
    steps = len(batches) if mode == "fit" and BACKEND != "torch" else 1
    model.compile(keras.optimizers.Adam(), loss, steps_per_execution=steps)
    if mode == "train_on_batch":
        tensor = keras.ops.convert_to_tensor
        return training_job(model.train_on_batch, [(tensor(x), tensor(y)) for x, y in batches])
    x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    batch = len(batches[0].x)

    def fit(x: Any, y: Any) -> float:
        history = model.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
        return float(history.history["loss"][0])

    return Job(
        run=lambda: fit(x, y),
        results=lambda: [np.array([fit(*pair) for pair in batches[:CHECKED_STEPS]])],
        rounds=len(batches),
    )


def predict(network: Network, inputs: Sequence[Any], mode: str) -> Job:
    """Probabilities, or logits of networks that end in them."""
    model = build(network)
    if mode == "predict_on_batch":
        return prediction_job(model.predict_on_batch, inputs)
    tensors = [keras.ops.convert_to_tensor(x) for x in inputs]
    return prediction_job(_compiled_call(model), tensors)


def _compiled_call(model: Any) -> Callable[[Any], Any]:
    """The model as one function, by the backend's own means."""
    if BACKEND == "tensorflow":
        tensorflow = importlib.import_module("tensorflow")
        return tensorflow.function(lambda x: model(x, training=False))  # type: ignore[no-any-return]
    if BACKEND == "jax":
        jax = importlib.import_module("jax")
        weights = model.trainable_variables, model.non_trainable_variables
        values = [[variable.value for variable in group] for group in weights]
        compiled = jax.jit(lambda x: model.stateless_call(*values, x, training=False)[0])
        return lambda x: compiled(x).block_until_ready()
    torch = importlib.import_module("torch")
    # Else a second size of batches would get code for any size.
    torch.compiler.reset()
    call = torch.compile(lambda x: model(x, training=False), dynamic=False)
    return torch.no_grad()(call)  # type: ignore[no-any-return]
