"""HDF5 files as a flat table of small, checked arrays.

An HDF5 file can point elsewhere (soft and external links, external and virtual datasets), contain
itself, claim any size, and ask for filters. Nothing of that is in Keras' files, and all of it is
refused before a value is read: what remains are numbers that lie in the file in one piece.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error

_DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError)
"""What h5py raises for files that are not valid."""


def import_h5py() -> Any:
    """The module h5py.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        hint = 'files of Keras need h5py: pip install "fastconv[files]"'
        raise ImportError(hint) from error


class StoredArrays:
    """The arrays of an open HDF5 file.

    Attributes:
        shapes: of each array, by its path, such as "layers/dense/vars/0".
    """

    def __init__(self, where: str, file: Any, size: int) -> None:
        self._where = where
        self._groups: dict[str, Any] = {}
        self._datasets: dict[str, Any] = {}
        self._collect(file, size)
        self.shapes: dict[str, tuple[int, ...]] = {
            path: tuple(dataset.shape) for path, dataset in self._datasets.items()
        }

    def read(self, path: str) -> npt.NDArray[Any]:
        """The values of an array."""
        with _refusing(self._where):
            return np.asarray(self._datasets[path][()])

    def attribute(self, path: str, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
        """An attribute of a group: integers of a known shape; None if there is none.

        Raises:
            ValueError: there is something else.
        """
        group = self._groups.get(path)
        with _refusing(self._where):
            if group is None or name not in group.attrs:
                return None
            stored = group.attrs.get_id(name)
            kind = stored.dtype.kind
            if stored.shape == shape and kind in "iu":
                return np.asarray(group.attrs[name])
        rule, received = "is not valid", f"shape {stored.shape}, kind {kind!r}"
        raise value_error(
            self._where, f"{path}: {name}", rule, f"integers of shape {shape}", received
        )

    def _collect(self, file: Any, size: int) -> None:
        h5py = import_h5py()
        seen = set()
        left = size
        pending = [("", file)]
        while pending:
            path, item = pending.pop()
            with _refusing(self._where):
                address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                self._refuse(path, "is linked twice", "a tree", "a second hard link")
            seen.add(address)
            if isinstance(item, h5py.Group):
                self._groups[path] = item
                pending += self._children(h5py, path, item)
            elif isinstance(item, h5py.Dataset):
                left -= self._checked_size(h5py, path, item, size)
                if left < 0:
                    self._refuse(path, "overlaps others", f"{size} bytes in all", "more")
                self._datasets[path] = item
            else:
                self._refuse(path, "is not allowed", "groups and arrays", type(item).__name__)

    def _children(self, h5py: Any, path: str, group: Any) -> list[tuple[str, Any]]:
        children = []
        with _refusing(self._where):
            names = list(group)
        for name in names:
            below = f"{path}/{name}" if path else name
            with _refusing(self._where):
                link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = type(link).__name__
                self._refuse(below, "is not allowed", "arrays in the file itself", kind)
            with _refusing(self._where):
                children.append((below, group[name]))
        return children

    def _checked_size(self, h5py: Any, path: str, dataset: Any, size: int) -> int:
        """Bytes of an array, all of which are in the file."""
        with _refusing(self._where):
            shape, dtype = dataset.shape, dataset.dtype
            properties = dataset.id.get_create_plist()
            layout = properties.get_layout()
            external = properties.get_external_count()
            stored, offset = dataset.id.get_storage_size(), dataset.id.get_offset()
        if layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or external:
            received = "external or virtual data, or chunks"
            self._refuse(path, "is not allowed", "values in one piece, as Keras writes", received)
        if shape is None or dtype.kind not in "iuf" or dtype.itemsize > 8:
            self._refuse(path, "holds no numbers", "int or float of up to 64 bits", dtype)
        needed: int = math.prod(shape) * dtype.itemsize
        if needed != stored or (offset or 0) + needed > size:
            expected = f"{needed} bytes for shape {shape}"
            self._refuse(path, "is incomplete", expected, f"{stored} of {size}")
        return needed

    def _refuse(self, path: str, rule: str, expected: object, received: object) -> None:
        raise value_error(self._where, path or "/", rule, expected, received)


@contextmanager
def open_arrays(where: str, stream: BinaryIO, size: int) -> Iterator[StoredArrays]:
    """The arrays of an HDF5 file of `size` bytes; `where` starts the messages of errors.

    Raises:
        ValueError: the file is damaged or holds what is not allowed.
        ImportError: h5py is not installed.
    """
    h5py = import_h5py()
    with _refusing(where):
        file = h5py.File(stream, "r")
    with file:
        yield StoredArrays(where, file, size)


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise ValueError(f"{where}: is not a valid HDF5 file, received: {error}") from error
