"""Models to save and compare, and changes to their files: to members, configuration, arrays."""

from __future__ import annotations

import importlib
import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import fastconv as keras
from fastconv import layers
from support.arrays import assert_same_bits

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"


def small_model(*, compiled: bool = False) -> keras.Sequential:
    """A model with two layers of one class, and one without weights."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 2, activation="relu", name="first"),
            layers.Conv2D(4, 2, name="second"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="head"),
        ],
        name="small",
    )
    if compiled:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def assert_same_weights(one: keras.Model, other: keras.Model) -> None:
    """Same weights, bit for bit."""
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        assert_same_bits(first, second)


def members(path: Path) -> dict[str, bytes]:
    """The content of each member of an archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(
    path: Path, content: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> None:
    """An archive of these members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def edit_config(path: Path, change: Callable[[Any], Any]) -> None:
    """Have `change` edit the configuration of a model file, or return another one."""
    content = members(path)
    config = json.loads(content[CONFIG])
    changed = change(config)
    content[CONFIG] = json.dumps(config if changed is None else changed).encode()
    write_members(path, content)


def edit_arrays(path: Path, change: Callable[[Any], None]) -> None:
    """Have `change` edit the open HDF5 file, which is `path` or a member of it."""
    h5py = importlib.import_module("h5py")
    if path.name.endswith(".h5"):
        with h5py.File(path, "r+") as file:
            change(file)
        return
    content = members(path)
    stream = BytesIO(content[WEIGHTS])
    with h5py.File(stream, "r+") as file:
        change(file)
    content[WEIGHTS] = stream.getvalue()
    write_members(path, content)
