"""Files are data only: nothing in them is run, and no size in them is believed."""

from __future__ import annotations

import copy
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv.saving import archive
from support.files import CONFIG, WEIGHTS, edit_config, members, small_model, write_members
from support.hostile import assert_refused, load

h5py = pytest.importorskip("h5py", reason='files need h5py: pip install "fastconv[files]"')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model file to be spoiled."""
    small_model(compiled=True).save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


# --- the archive ----------------------------------------------------------------------------------


def test_no_archive(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    assert_refused(path, "is no zip archive")


@pytest.mark.parametrize("part", [0, 1, 100, 5000, -1, -30])
def test_a_file_that_was_cut(part: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:part])
    assert_refused(path, "is no zip archive|is damaged|lacks members")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_member(name: str, path: Path) -> None:
    content = members(path)
    del content[name]
    write_members(path, content)
    assert_refused(path, f"the archive lacks members, expected {name}")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "assets/../../e"]
)
def test_names_that_leave_the_folder(name: str, path: Path) -> None:
    write_members(path, {**members(path), name: b"x"})
    assert_refused(path, "a member has a name that is not safe")


def test_two_members_of_one_name(path: Path) -> None:
    content = members(path)
    with zipfile.ZipFile(path, "w") as written:
        for name, data in content.items():
            written.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            written.writestr(CONFIG, b"{}")
    assert_refused(path, "a member has a name that is not safe")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "assets/extra"])
def test_bombs(name: str, path: Path) -> None:
    write_members(path, {**members(path), name: bytes(2**26)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**17
    assert_refused(path, f"{name} expands too far")


def test_a_large_configuration(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(members(path)[CONFIG])
    monkeypatch.setattr(archive, "LARGEST_CONFIG", size)
    load(path)
    monkeypatch.setattr(archive, "LARGEST_CONFIG", size - 1)
    assert_refused(path, f"{CONFIG} is too large, expected at most {size - 1} bytes")


def test_sizes_that_are_not_there(path: Path) -> None:
    """The central directory claims that the weights fill 2**31 bytes."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(WEIGHTS.encode()) - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31 - 1, 2**31 - 1)
    path.write_bytes(content)
    assert_refused(path, f"{WEIGHTS} is larger than the file")


def test_a_checksum_that_is_wrong(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"glorot_uniform" if b"glorot_uniform" in content else b"GlorotUniform")
    content[place] ^= 1
    path.write_bytes(content)
    assert_refused(path, f"{CONFIG} is damaged")


def test_an_encrypted_member(path: Path) -> None:
    content = bytearray(path.read_bytes())
    entry = content.rindex(CONFIG.encode()) - 46
    content[entry + 8] |= 1
    path.write_bytes(content)
    assert_refused(path, f"{CONFIG} is damaged")


def test_compressed_members_are_read(path: Path) -> None:
    """Who edits such an archive by hand will compress it."""
    expected = load(path).get_weights()
    write_members(path, members(path), zipfile.ZIP_DEFLATED)
    for found, value in zip(load(path).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, value)


# --- the configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, "nul", "\xff", "9" * 5000],
    ids=["empty", "cut", "deep", "word", "bytes", "digits"],
)
def test_no_json(text: str, path: Path) -> None:
    write_members(path, {**members(path), CONFIG: text.encode("latin-1")})
    assert_refused(path, f"{CONFIG} is not valid")


@pytest.mark.parametrize("value", [None, [], 3, "Sequential", {}, {"class_name": "Sequential"}])
def test_no_description(value: Any, path: Path) -> None:
    write_members(path, {**members(path), CONFIG: json.dumps(value).encode()})
    assert_refused(path, "a description is not valid")


def set_layer(**changes: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        config["config"]["layers"][2].update(changes)

    return change


@pytest.mark.parametrize(
    "changes",
    [
        {"class_name": "Lambda", "config": {"name": "f", "function": "os.system"}},
        {"class_name": "LSTM"},
        {"class_name": "Sequential", "module": "keras"},
        {"class_name": "OwnLayer", "module": "builtins", "registered_name": "own>OwnLayer"},
        {"class_name": "system", "module": "os"},
        {"class_name": "Popen", "module": "subprocess"},
        {"class_name": "Conv2D", "module": "fastconv.layers"},
        {"class_name": "Conv2D", "module": None},
        {"class_name": "Layer"},
        {"class_name": "_Hidden"},
        {"class_name": "Adam", "module": "keras.optimizers"},
        {"class_name": "__class__"},
    ],
    ids=lambda changes: f"{changes.get('module', '')}.{changes['class_name']}",
)
def test_classes_outside_the_table(changes: Any, path: Path) -> None:
    edit_config(path, set_layer(**changes))
    assert_refused(path, "has layers that fastconv does not have")


def test_all_layers_that_are_missing_are_listed(path: Path) -> None:
    def change(config: Any) -> None:
        for place, name in [(1, "LSTM"), (2, "GRU"), (4, "Lambda")]:
            config["config"]["layers"][place]["class_name"] = name

    edit_config(path, change)
    message = (
        r"LSTM \(keras.layers, 'first'\), GRU \(keras.layers, 'second'\), "
        r"Lambda \(keras.layers, 'head'\)$"
    )
    assert_refused(path, message)


def set_argument(name: str, value: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        config["config"]["layers"][2]["config"][name] = value

    return change


SHELL = {"module": "os", "class_name": "system", "config": {"command": "touch owned"}}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kernel_initializer", SHELL, "os.system is not known"),
        (
            "activation",
            {
                "module": "os",
                "class_name": "function",
                "config": "system",
                "registered_name": "system",
            },
            "activations.get: identifier is not known",
        ),
        ("activation", {"class_name": "__lambda__", "config": {"value": ["4wEA"]}}, "is not known"),
        ("kernel_constraint", {"class_name": "NonNeg"}, "kernel_constraint is not supported"),
        ("synchronized", True, "synchronized is not supported"),
        ("filters", 10**9, r"second/kernel has another shape.*\(2, 2, 3, 1000000000\), received"),
        ("filters", 10**12, "filters is too large"),
        ("filters", 2**70, "filters is too large"),
        ("filters", -1, "filters must be"),
        ("filters", "4", "filters must be"),
        ("kernel_size", [10**9, 10**9], "output size below 1"),
        ("name", "first", "has the name of another layer"),
        ("name", "a/b", "name is not valid"),
        ("name", 3, "name is not valid"),
        ("dtype", "float64", "dtype is not known"),
        ("dtype", {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}, "float16"),
        ("no_such_argument", 1, "no_such_argument is not supported"),
    ],
)
def test_arguments_that_are_refused(name: str, value: Any, message: str, path: Path) -> None:
    edit_config(path, set_argument(name, value))
    assert_refused(path, message)


def test_a_model_larger_than_its_weights(path: Path) -> None:
    """A few bytes describe layers of 2**62 bytes; nothing of them is allocated."""

    def change(config: Any) -> None:
        described = config["config"]["layers"]
        described[4]["config"]["units"] = 2**30
        described.append(copy.deepcopy(described[4]))
        described[5]["config"]["name"] = "after"

    edit_config(path, change)
    message = r"the layer 'after' has other weights than layers/dense_1 in the file, expected "
    assert_refused(path, message + r"\[\('kernel', \(1073741824, 1073741824\)\)")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("optimizer", {"module": "keras.optimizers", "class_name": "Lion", "config": {}}),
        ("optimizer", SHELL),
        ("optimizer", 3),
        ("loss", {"module": "builtins", "class_name": "function", "config": "eval"}),
        ("loss", None),
        ("metrics", [SHELL]),
        ("loss_weights", [1.0, 2.0]),
        ("no_such_argument", 1),
    ],
)
def test_what_cannot_be_compiled(part: str, value: Any, path: Path) -> None:
    def change(config: Any) -> None:
        config["compile_config"][part] = value

    edit_config(path, change)
    assert_refused(path, r"cannot be compiled as the file says.*compile=False")
    assert not keras.models.load_model(path, compile=False).compiled


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of everything in a configuration."""
    yield place
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*place, key))


# Another optimizer may come of it, for which the state in the file is not.
@pytest.mark.filterwarnings("ignore:.*the optimizer's state is not used")
def test_any_change_of_the_configuration_is_refused_or_harmless(path: Path) -> None:
    """Every value in turn becomes one of another type; nothing but a ValueError comes out."""
    content = members(path)
    original = json.loads(content[CONFIG])
    replacements: list[Any] = [None, -1, 2**65, "x", [None], {"class_name": 1}]
    refused = accepted = 0
    for place in leaves(original):
        if not place:
            continue
        for replacement in replacements:
            config = copy.deepcopy(original)
            target = config
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = replacement
            write_members(path, {**content, CONFIG: json.dumps(config).encode()})
            try:
                load(path)
            except ValueError:
                refused += 1
            else:
                accepted += 1
    assert refused > 100
    assert accepted > 10
