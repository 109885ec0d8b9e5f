"""The IDX format of MNIST: a big-endian header of sizes, then unsigned bytes.

Source: the description on the MNIST page, yann.lecun.com/exdb/mnist.
"""

import math
import os
import struct
from pathlib import Path

import numpy as np

from fastconv.datasets import _store
from fastconv.datasets._catalogue import Dataset, Images, Split

UNSIGNED_BYTE = 0x08
# Cap for files whose size is not pinned: 2.7 million images of 28x28.
MAX_BYTES = 1 << 31

FILE_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def parse_idx(content: bytearray, rank: int, what: str) -> Images:
    """Array in an IDX file of unsigned bytes.

    Args:
        content: the whole file; the array is a writable view of it.
        rank: number of dimensions that the array must have.
        what: name of the file for error messages.

    Raises:
        ValueError: the header is not that of such a file, or its sizes do not match the bytes.
    """
    magic = bytes((0, 0, UNSIGNED_BYTE, rank))
    header_bytes = 4 + 4 * rank
    if len(content) < header_bytes or content[:4] != magic:
        raise ValueError(
            f"{what}: must start with the IDX header of unsigned bytes with {rank} dimensions, "
            f"expected {magic.hex()} and {rank} sizes, received {content[:header_bytes].hex()}"
        )
    shape = struct.unpack_from(f">{rank}I", content, 4)
    expected = header_bytes + math.prod(shape)
    if len(content) != expected:
        raise ValueError(
            f"{what}: sizes {shape} in the header must match the file, "
            f"expected {expected} bytes, received {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)


def _splits(contents: list[bytearray], names: list[str]) -> tuple[Split, Split]:
    """The four files of `FILE_NAMES` as `(x_train, y_train), (x_test, y_test)`."""
    x_train, y_train, x_test, y_test = (
        parse_idx(content, rank, name)
        for content, name, rank in zip(contents, names, (3, 1, 3, 1), strict=True)
    )
    for x, y, name in ((x_train, y_train, names[1]), (x_test, y_test, names[3])):
        if len(x) != len(y):
            raise ValueError(
                f"{name}: must have one label per image, expected {len(x)}, received {len(y)}"
            )
    return (x_train, y_train), (x_test, y_test)


def load(dataset: Dataset) -> tuple[Split, Split]:
    """A published data set of four IDX files; errors as `_store.read`."""
    contents = [_store.read(dataset, file) for file in dataset.files]
    return _splits(contents, [file.name for file in dataset.files])


def load_idx_folder(folder: str | os.PathLike[str]) -> tuple[Split, Split]:
    """Read any data set in MNIST's format.

    Args:
        folder: a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
            `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain or with `.gz`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images `(N, H, W)` and labels `(N,)`, uint8.

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: a file is not a complete IDX file of unsigned bytes, has more than 2 GiB, or
            there is not one label per image.
    """
    paths = [_find(Path(folder), name) for name in FILE_NAMES]
    contents = [_store.read_file(path, MAX_BYTES, is_gzip=path.suffix == ".gz") for path in paths]
    return _splits(contents, [str(path) for path in paths])


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} must have the file {name} or {name}.gz, received neither")
