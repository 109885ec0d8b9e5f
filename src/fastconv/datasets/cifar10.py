"""CIFAR-10: 32x32 colour images in 10 classes (Alex Krizhevsky, Vinod Nair, Geoffrey Hinton).

Only the *binary* version is read: rows of one label byte and 3072 pixel bytes (a 32x32 plane each
of red, green and blue). The Python version is a pickle, which could run code, and is not read.
"""

import gzip
import io
import tarfile

import numpy as np

from fastconv.datasets import _store
from fastconv.datasets._catalogue import CIFAR10, Images, Split

__all__ = ["load_data"]

ROWS_PER_BATCH = 10_000
ROW_BYTES = 1 + 3 * 32 * 32
FOLDER = "cifar-10-batches-bin"
TRAIN_MEMBERS = tuple(f"{FOLDER}/data_batch_{i}.bin" for i in range(1, 6))
TEST_MEMBER = f"{FOLDER}/test_batch.bin"
OTHER_MEMBERS = {FOLDER, f"{FOLDER}/batches.meta.txt", f"{FOLDER}/readme.html"}
# Headers, padding and the two text files; the archive as published needs far less.
OTHER_BYTES = 1 << 20


def load_data() -> tuple[Split, Split]:
    """Load CIFAR-10: 50,000 training and 10,000 test images.

    The classes are airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck. The
    archive `cifar-10-binary.tar.gz` is looked for in `$FASTCONV_DATA_DIR/cifar10/` and in the
    user's cache folder, then downloaded (170 MB) to the latter. Pinned are the archive's size and
    SHA-256 as TensorFlow Datasets publishes them. Nothing is extracted to disk.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, uint8: images `(50000, 32, 32, 3)` and
        `(10000, 32, 32, 3)`, labels `(50000, 1)` and `(10000, 1)`.

    Raises:
        DatasetUnavailableError: the archive is neither here nor can it be downloaded.
        ValueError: the archive is here, but it is not the published one.
    """
    (file,) = CIFAR10.files
    return parse_archive(_store.read(CIFAR10, file), ROWS_PER_BATCH, file.name)


def parse_archive(archive: bytearray, rows_per_batch: int, what: str) -> tuple[Split, Split]:
    """Arrays in a gzip-compressed tar archive of six batches.

    Args:
        archive: the whole file.
        rows_per_batch: images in each batch; a batch of another size is refused.
        what: name of the archive for error messages.

    Raises:
        ValueError: the archive is damaged, too large, or has other members than the published one.
    """
    batch_bytes = rows_per_batch * ROW_BYTES
    batches = 1 + len(TRAIN_MEMBERS)
    with gzip.open(io.BytesIO(archive)) as stream:
        tar = _store.read_limited(stream, batches * batch_bytes + OTHER_BYTES, what)
    contents = _read_members(tar, batch_bytes, what)
    train = np.concatenate([contents[name] for name in TRAIN_MEMBERS])
    return _split(train, what), _split(contents[TEST_MEMBER], what)


def _read_members(tar: bytearray, batch_bytes: int, what: str) -> dict[str, Images]:
    """Rows `(rows_per_batch, 3073)` of each batch, by member name."""
    contents: dict[str, Images] = {}
    batches = {*TRAIN_MEMBERS, TEST_MEMBER}
    allowed = batches | OTHER_MEMBERS
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as members:
            for member in members:
                # A name that comes twice is refused at once: a negative size in a header would
                # make tarfile return to the same member for ever.
                if member.name not in allowed:
                    raise ValueError(
                        f"{what}: must have each of {sorted(batches)} once, "
                        f"received the member {member.name!r}"
                    )
                allowed.remove(member.name)
                if member.name in batches:
                    contents[member.name] = _read_rows(members, member, batch_bytes, what)
    except (tarfile.TarError, OverflowError, RecursionError) as error:
        raise ValueError(f"{what}: must be a tar archive, received: {error}") from error
    if missing := batches - contents.keys():
        raise ValueError(f"{what}: must have the members {sorted(missing)}, received none of them")
    return contents


def _read_rows(
    members: tarfile.TarFile, member: tarfile.TarInfo, batch_bytes: int, what: str
) -> Images:
    """Content of a batch as `(rows_per_batch, 3073)`."""
    stream = members.extractfile(member) if member.isreg() else None
    if stream is None or member.size != batch_bytes:
        raise ValueError(
            f"{what}: {member.name} must be a file of {batch_bytes} bytes, "
            f"received type {member.type!r}, {member.size} bytes"
        )
    return np.frombuffer(stream.read(), np.uint8).reshape(-1, ROW_BYTES)


def _split(rows: Images, what: str) -> Split:
    """Rows of label and planes as images `(N, 32, 32, 3)` and labels `(N, 1)`."""
    labels = np.ascontiguousarray(rows[:, :1])
    if labels.size and labels.max() > 9:
        raise ValueError(f"{what}: labels must be at most 9, received {labels.max()}")
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels
