"""Files are data only: no array of them is believed, no link followed."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from support.files import WEIGHTS, edit_arrays, members, small_model
from support.hostile import assert_refused

h5py = pytest.importorskip("h5py", reason='files need h5py: pip install "fastconv[files]"')

KERNEL = "layers/conv2d_1/vars/0"
SHAPE = (2, 2, 3, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model file to be spoiled."""
    small_model(compiled=True).save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def replace_kernel(make: Callable[[Any, Path], None], path: Path) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[KERNEL]
        make(file, path)

    return change


def soft_link(file: Any, _: Path) -> None:
    file[KERNEL] = h5py.SoftLink("/layers/conv2d/vars/0")


def external_link(file: Any, path: Path) -> None:
    file[KERNEL] = h5py.ExternalLink(str(path.with_name("other.h5")), "/secret")


def external_data(file: Any, path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(bytes(1000))
    size = 4 * int(np.prod(SHAPE))
    file.create_dataset(KERNEL, SHAPE, "f4", external=[(str(secret), 0, size)])


def virtual_data(file: Any, path: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource(str(path.with_name("other.h5")), "secret", SHAPE)
    file.create_virtual_dataset(KERNEL, layout)


def shape_bomb(file: Any, _: Path) -> None:
    file.create_dataset(KERNEL, (2**20, 2**20), "f4", chunks=(2**10, 2**10), compression="gzip")


def empty_bomb(file: Any, _: Path) -> None:
    file.create_dataset(KERNEL, (2**20, 2**20), "f4")


def compressed(file: Any, _: Path) -> None:
    file.create_dataset(KERNEL, data=np.zeros(SHAPE, "f4"), compression="gzip")


def strings(file: Any, _: Path) -> None:
    file.create_dataset(KERNEL, SHAPE, h5py.string_dtype())


def references(file: Any, _: Path) -> None:
    file.create_dataset(KERNEL, SHAPE, h5py.ref_dtype)


def records(file: Any, _: Path) -> None:
    file[KERNEL] = np.zeros(SHAPE, [("a", "f4"), ("b", "f4")])


def no_values(file: Any, _: Path) -> None:
    file[KERNEL] = h5py.Empty("f4")


def a_type(file: Any, _: Path) -> None:
    file[KERNEL] = np.dtype("f4")


def a_group(file: Any, _: Path) -> None:
    file.create_group(KERNEL)


def second_link(file: Any, _: Path) -> None:
    file[KERNEL] = file["layers/conv2d/vars/0"]


def loop(file: Any, _: Path) -> None:
    file[KERNEL] = np.zeros(SHAPE, "f4")
    file["layers/conv2d/vars/again"] = file["layers"]


def other_shape(file: Any, _: Path) -> None:
    file[KERNEL] = np.zeros((2, 2, 4, 3), "f4")


def integers(file: Any, _: Path) -> None:
    file[KERNEL] = np.zeros(SHAPE, "i4")


def nothing(_file: Any, _path: Path) -> None:
    """No weight at all."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (soft_link, f"{KERNEL} is not allowed, .*received SoftLink"),
        (external_link, f"{KERNEL} is not allowed, .*received ExternalLink"),
        (external_data, f"{KERNEL} is not allowed, .*external or virtual data"),
        (virtual_data, f"{KERNEL} is not allowed, .*external or virtual data"),
        (shape_bomb, f"{KERNEL} is not allowed, .*chunks"),
        (empty_bomb, f"{KERNEL} is incomplete"),
        (compressed, f"{KERNEL} is not allowed, .*chunks"),
        (strings, f"{KERNEL} (holds no numbers|is not allowed)"),
        (references, f"{KERNEL} holds no numbers"),
        (records, f"{KERNEL} holds no numbers"),
        (no_values, f"{KERNEL} "),
        (a_type, f"{KERNEL} is not allowed, expected groups and arrays"),
        (a_group, "the layer 'second' has other weights than layers/conv2d_1"),
        (second_link, "is linked twice"),
        (loop, "is linked twice"),
        (other_shape, r"the weight second/kernel has another shape.*received \(2, 2, 4, 3\)"),
        (integers, "the weight second/kernel has another dtype in the file, expected float32"),
        (nothing, "the layer 'second' has other weights than layers/conv2d_1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_arrays_that_are_refused(make: Any, message: str, path: Path) -> None:
    edit_arrays(path, replace_kernel(make, path))
    assert_refused(path, message)
    weights = path.with_name("m.weights.h5")
    weights.write_bytes(members(path)[WEIGHTS])
    model = small_model()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.load_weights(weights)
    for value, start in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, start)


@pytest.mark.parametrize("value", [-1, np.nan, 0.5, np.inf])
def test_numbers_of_steps_that_are_refused(value: float, path: Path) -> None:
    def change(file: Any) -> None:
        del file["optimizer/vars/0"]
        file["optimizer/vars/0"] = np.float64(value)

    edit_arrays(path, change)
    assert_refused(path, "the optimizer's number of steps is not valid")


def test_a_learning_rate_that_is_refused(tmp_path: Path) -> None:
    """Neither weights nor the optimizer change, although the weights would fit."""
    path = tmp_path / "m.weights.h5"
    small_model(compiled=True).save_weights(path)
    edit_arrays(path, lambda file: file["optimizer/vars/1"].write_direct(np.float32([np.nan])[0:1]))
    model = small_model(compiled=True)
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"{path}: the learning rate is not valid"):
        model.load_weights(path)
    for value, start in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, start)
    assert model.optimizer.learning_rate == 0.001


@pytest.mark.parametrize("value", [np.zeros(3, np.uint64), np.zeros(2), "text"])
def test_random_states_that_are_refused(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)]).save(path)

    def change(file: Any) -> None:
        file["layers/dropout/vars"].attrs["fastconv_random_state"] = value

    edit_arrays(path, change)
    assert_refused(path, "layers/dropout/vars: fastconv_random_state is not valid")


def test_weights_files_that_were_cut(tmp_path: Path) -> None:
    model = small_model(compiled=True)
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    content = path.read_bytes()
    before = model.get_weights()
    for size in (0, 1, 8, 100, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=f"load_weights: {path}"):
            model.load_weights(path)
    for value, start in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, start)


FLIP = """
import sys
import numpy as np
import fastconv as keras
from support.files import small_model
path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
content = open(path, "rb").read()
refused = 0
for seed in range(first, last):
    rng = np.random.default_rng(seed)
    spoiled = bytearray(content)
    for place in rng.integers(0, min(len(content), 6000), 3):
        spoiled[place] = rng.integers(256)
    with open(path, "wb") as file:
        file.write(spoiled)
    try:
        small_model().load_weights(path)
    except ValueError:
        refused += 1
print(refused)
"""


def test_bytes_that_were_changed(tmp_path: Path) -> None:
    """In a process of its own: what is tested is also the HDF5 library."""
    path = tmp_path / "m.weights.h5"
    small_model().save_weights(path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", FLIP, str(path), "0", "200"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 20 < int(done.stdout) <= 200


def test_safetensors_files_that_were_spoiled(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason='pip install "fastconv[files]"')
    path = tmp_path / "m.safetensors"
    model = small_model()
    model.save_weights(path)
    content = path.read_bytes()
    before = model.get_weights()
    length = struct.unpack("<Q", content[:8])[0]
    table = json.loads(content[8 : 8 + length])
    table["layers/conv2d/bias"]["data_offsets"] = [0, 2**40]
    huge = json.dumps(table).encode()
    half = json.loads(content[8 : 8 + length])
    half["layers/conv2d/bias"]["dtype"] = "I32"
    ints = json.dumps(half).encode()
    for spoiled in (
        b"",
        content[:7],
        content[:100],
        content[:-1],
        struct.pack("<Q", 2**60) + content[8:],
        struct.pack("<Q", len(huge)) + huge + content[8 + length :],
        struct.pack("<Q", len(ints)) + ints + content[8 + length :],
    ):
        path.write_bytes(spoiled)
        with pytest.raises(ValueError, match=f"load_weights: {path}"):
            model.load_weights(path)
    for value, start in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, start)
