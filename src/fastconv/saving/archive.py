"""The `.keras` file: a zip archive of a configuration, the weights and a note of who wrote it.

Nothing is ever unpacked to a folder. Names and sizes of all members are checked before one is read.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from fastconv import _core
from fastconv._errors import value_error

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
METADATA = "metadata.json"
WEIGHTS = "model.weights.h5"

LARGEST_CONFIG = 1 << 26
"""Bytes; that of a model of a thousand layers has one million."""
_LARGEST_EXPANSION = 100
"""Deflate reaches 1000, but only for what a model does not consist of. Keras does not compress."""
_KERAS_VERSION = "3.6.0"
"""The first one that reads all that is written here; before it only chains of layers."""
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises for archives that are not valid, encrypted or of an unknown method."""


def write_archive(path: Path, description: dict[str, Any], weights: BytesIO) -> None:
    """Write a `.keras` file."""
    metadata = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "fastconv_version": _core.version,
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(description))
        archive.writestr(WEIGHTS, weights.getbuffer())


class Archive:
    """An open `.keras` file whose members are checked.

    Args:
        where: starts the messages of errors.
        stream: the file.

    Raises:
        ValueError: the file is damaged, or not safe to read.
    """

    def __init__(self, where: str, stream: BinaryIO) -> None:
        self._where = where
        size = stream.seek(0, os.SEEK_END)
        try:
            self._archive = zipfile.ZipFile(stream)
        except _DAMAGE as error:
            expected = "the .keras format of Keras 3"
            raise value_error(where, "the file", "is no zip archive", expected, error) from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._archive.infolist():
            self._check(member, size)
            size -= member.compress_size
            self._members[member.filename] = member
        missing = [name for name in (CONFIG, WEIGHTS) if name not in self._members]
        if missing:
            rule, received = "lacks members", ", ".join(self._members)[:200] or "none"
            raise value_error(where, "the archive", rule, ", ".join(missing), received)

    def read(self, name: str) -> bytes:
        """The content of a member."""
        try:
            return self._archive.read(self._members[name])
        except _DAMAGE as error:
            expected = "the content of its checksum"
            raise value_error(self._where, name, "is damaged", expected, error) from error

    def config(self) -> Any:
        """The content of `config.json`."""
        size = self._members[CONFIG].file_size
        if size > LARGEST_CONFIG:
            expected = f"at most {LARGEST_CONFIG} bytes"
            raise value_error(self._where, CONFIG, "is too large", expected, size)
        try:
            return json.loads(self.read(CONFIG))
        except (ValueError, RecursionError) as error:
            raise value_error(self._where, CONFIG, "is not valid", "JSON", error) from error

    def _check(self, member: zipfile.ZipInfo, left: int) -> None:
        """Refuse a member with an unsafe name, or of which fewer bytes are there than it claims."""
        name = member.filename
        parts = name.replace("\\", "/").split("/")
        if name in self._members or ".." in parts or not parts[0] or ":" in name or "\0" in name:
            rule, expected = "has a name that is not safe", "names of their own inside the archive"
            raise value_error(self._where, "a member", rule, expected, repr(name))
        if member.compress_size > left:
            rule, expected = "is larger than the file", f"at most {left} bytes"
            raise value_error(self._where, name, rule, expected, member.compress_size)
        if member.file_size > member.compress_size * _LARGEST_EXPANSION:
            rule = "expands too far"
            expected = f"at most {_LARGEST_EXPANSION} times {member.compress_size} bytes"
            raise value_error(self._where, name, rule, expected, member.file_size)
