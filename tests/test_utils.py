"""Helpers under Keras' names, and what the package offers."""

# The legacy generator of NumPy is one of those that a seed sets.
# ruff: noqa: NPY002

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

import fastconv as keras


def test_set_random_seed_seeds_python_and_numpy_too() -> None:
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        draws.append((random.random(), np.random.rand(), keras.random.next_seed()))
    assert draws[0] == draws[1]
    keras.utils.set_random_seed(4)
    assert (random.random(), np.random.rand(), keras.random.next_seed()) != draws[0]
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match="set_random_seed: seed is out of range"):
            keras.utils.set_random_seed(seed)
    with pytest.raises(TypeError):
        keras.utils.set_random_seed(1.5)  # type: ignore[arg-type]


def test_seeds_of_layers_do_not_touch_the_generators_of_the_user() -> None:
    keras.utils.set_random_seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate()
    keras.layers.Dense(2)(np.zeros((1, 2)))
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def test_to_categorical() -> None:
    assert keras.utils.to_categorical([0, 2]).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert keras.utils.to_categorical([[0], [2]], 4).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert keras.utils.to_categorical([[0, 1], [1, 0]]).shape == (2, 2, 2)
    assert keras.utils.to_categorical([], 3).shape == (0, 3)
    assert keras.utils.to_categorical(1, 2).tolist() == [0, 1]
    for labels in ([-1], [3]):
        with pytest.raises(ValueError, match="to_categorical: x holds a label out of range"):
            keras.utils.to_categorical(labels, 3)


def test_names_of_the_package() -> None:
    for name in keras.__all__:
        assert getattr(keras, name) is not None
    assert set(keras.__all__) <= set(dir(keras))
    assert keras.Input is keras.layers.Input
    assert keras.models.Sequential is keras.Sequential
    assert keras.models.Model is keras.Model
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = keras.nothing


def test_import_leaves_out_what_training_does_not_need() -> None:
    code = (
        "import sys, fastconv\n"
        "late = {'fastconv.datasets', 'fastconv.reference', 'fastconv.cli', 'importlib.metadata'}\n"
        "late |= {'rich', 'typer', 'matplotlib', 'urllib.request', 'gzip', 'tarfile'}\n"
        "print(*sorted(late & set(sys.modules)))\n"
        "fastconv.datasets.mnist.load_data, fastconv.reference.conv2d, fastconv.__version__"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == ""
