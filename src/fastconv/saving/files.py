"""Saving and loading by the name of the file."""

from __future__ import annotations

import os
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from fastconv._errors import type_error, value_error
from fastconv.layers.allocation import placeholders
from fastconv.saving.archive import WEIGHTS, Archive, write_archive
from fastconv.saving.atomic import replacing
from fastconv.saving.compiled import compile_model, describe_compilation
from fastconv.saving.hdf5 import StoredArrays, import_h5py, open_arrays
from fastconv.saving.layout import checked_weights, write_weights
from fastconv.saving.models import describe_model, make_model
from fastconv.saving.optimizer_state import checked_optimizer, write_optimizer
from fastconv.saving.safetensors_file import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastconv.models.model import Model

PathLike: TypeAlias = str | os.PathLike[str]

_MODEL = ".keras"
_WEIGHTS = ".weights.h5"
_SAFETENSORS = ".safetensors"


def save_model(model: Model, filepath: PathLike, overwrite: bool = True) -> None:
    """Write a model in Keras 3's format: layers, weights, `compile` and the optimizer's state.

    Args:
        model: a `Sequential`, or a `Model` of layers.
        filepath: ends in ".keras".
        overwrite: whether a file that exists may be replaced.

    Raises:
        ValueError: another ending, or a layer of a class of one's own.
        FileExistsError: the file exists, and `overwrite` is False.
        ImportError: h5py is not installed.
    """
    path = _path("save", filepath, (_MODEL,))
    _check_overwrite(path, overwrite)
    description = describe_model(model)
    compilation = describe_compilation(model)
    if compilation is not None:
        description["compile_config"] = compilation
    weights = BytesIO()
    _write_hdf5(weights, model, optimizer=compilation is not None)
    with replacing(path) as part:
        write_archive(part, description, weights)


def load_model(
    filepath: PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,  # noqa: A002 - Keras' name
    safe_mode: bool = True,
) -> Model:
    """The model of a file that `Model.save` wrote, here or in Keras 3.

    Args:
        filepath: ends in ".keras".
        custom_objects: only None or empty: files can name classes of fastconv alone.
        compile: whether to compile it as it was, with the state of its optimizer, so that training
            goes on where it was.
        safe_mode: only True: no code in a file is ever run.

    Raises:
        ValueError: a damaged or unsafe file, or one with layers, losses, metrics or optimizers that
            fastconv does not have; the message lists all such layers.
        ImportError: h5py is not installed.

    >>> import os, tempfile
    >>> from fastconv import Sequential, layers
    >>> model = Sequential([layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "m.keras")
    ...     model.save(path)
    ...     load_model(path).output_shape
    (None, 10)
    """
    path = _path("load_model", filepath, (_MODEL,))
    if custom_objects or not safe_mode:
        rule, expected = "are not supported", "None, with safe_mode=True"
        raise value_error("load_model", "custom_objects", rule, expected, custom_objects)
    where = f"load_model: {path}"
    with path.open("rb") as stream:
        archive = Archive(where, stream)
        description = archive.config()
        with _arrays_of_archive(where, archive) as arrays:
            with placeholders(), _prefixed(where):
                model = make_model(description)
            checked_weights(where, model, arrays)()
            if compile:
                with _prefixed(where):
                    compile_model(model, description.get("compile_config"))
                checked_optimizer(where, model, arrays)()
    return model


def save_weights(model: Model, filepath: PathLike, overwrite: bool = True) -> None:
    """Write the weights of a model, in a ".weights.h5" also the state of its optimizer.

    Args:
        model: built.
        filepath: ends in ".weights.h5" or ".safetensors".
        overwrite: whether a file that exists may be replaced.

    Raises:
        ValueError: another ending, or a model that is not built.
        FileExistsError: the file exists, and `overwrite` is False.
        ImportError: h5py, or safetensors, is not installed.
    """
    path = _path("save_weights", filepath, (_WEIGHTS, _SAFETENSORS))
    _check_overwrite(path, overwrite)
    _check_built("save_weights", model)
    with replacing(path) as part:
        if path.name.endswith(_SAFETENSORS):
            write_safetensors(part, model)
        else:
            with part.open("wb+") as stream:
                _write_hdf5(stream, model, optimizer=True)


def load_weights(model: Model, filepath: PathLike) -> None:
    """Give a model the weights of a file, all of them or, if one does not fit, none.

    A compiled model also gets the state of its optimizer, if the file has one that fits.

    Args:
        model: built, with the layers of the model that was saved; their names may differ.
        filepath: ends in ".weights.h5", ".keras" or ".safetensors".

    Raises:
        ValueError: a damaged or unsafe file, or a layer or weight that differs, which the message
            names.
        ImportError: h5py, or safetensors, is not installed.
    """
    path = _path("load_weights", filepath, (_WEIGHTS, _MODEL, _SAFETENSORS))
    _check_built("load_weights", model)
    where = f"load_weights: {path}"
    if path.name.endswith(_SAFETENSORS):
        read_safetensors(where, path, model)
        return
    with path.open("rb") as stream:
        if path.name.endswith(_MODEL):
            arrays_of_file = _arrays_of_archive(where, Archive(where, stream))
        else:
            arrays_of_file = open_arrays(where, stream, stream.seek(0, os.SEEK_END))
        with arrays_of_file as arrays:
            give_weights = checked_weights(where, model, arrays)
            give_state = checked_optimizer(where, model, arrays)
            give_weights()
            give_state()


def _write_hdf5(stream: BinaryIO, model: Model, *, optimizer: bool) -> None:
    with import_h5py().File(stream, "w") as file:
        write_weights(file, model)
        if optimizer:
            write_optimizer(file, model)


@contextmanager
def _arrays_of_archive(where: str, archive: Archive) -> Iterator[StoredArrays]:
    content = archive.read(WEIGHTS)
    with open_arrays(where, BytesIO(content), len(content)) as arrays:
        yield arrays


@contextmanager
def _prefixed(where: str) -> Iterator[None]:
    """Put the name of the file before the messages of errors."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _path(operation: str, filepath: PathLike, endings: tuple[str, ...]) -> Path:
    if not isinstance(filepath, str | os.PathLike):
        raise type_error(operation, "filepath", "must be a path", "str or PathLike", filepath)
    path = Path(filepath)
    if not path.name.endswith(endings):
        expected = " or ".join(endings)
        raise value_error(operation, "filepath", "has another ending", expected, path)
    return path


def _check_overwrite(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists, and overwrite=False")


def _check_built(operation: str, model: Model) -> None:
    if not model.built:
        rule = "has no weights yet"
        expected = "an Input, build() or a call on data"
        raise value_error(operation, f"the model {model.name!r}", rule, expected, "no input shape")
