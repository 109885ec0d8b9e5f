"""Find a published file on this machine or fetch it, and check its content.

The standard library does the download: the content that must be checked is the *uncompressed*
one, under a size cap, which download libraries do not offer, and run time needs NumPy alone.
"""

import gzip
import hashlib
import http.client
import io
import os
import sys
import tempfile
import urllib.request
import zlib
from pathlib import Path

from fastconv.datasets._catalogue import DataFile, Dataset

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 10.0
# Deflate adds at most 5 bytes per 16 KiB block (RFC 1951, stored blocks); the gzip header is small.
GZIP_OVERHEAD_BYTES = 1 << 16


class DatasetUnavailableError(OSError):
    """A data file is not on this machine and could not be downloaded."""


def cache_folder() -> Path:
    """Folder for downloads: `$XDG_CACHE_HOME/fastconv`, or the system's usual place for caches."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fastconv"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fastconv"
    return Path.home() / ".cache" / "fastconv"


def data_folders() -> list[Path]:
    """Folders that are searched, in order: `FASTCONV_DATA_DIR` if it is set, the cache folder."""
    given = os.environ.get("FASTCONV_DATA_DIR")
    return ([Path(given)] if given else []) + [cache_folder()]


def read_limited(stream: io.BufferedIOBase, max_bytes: int, what: str) -> bytearray:
    """All bytes of `stream`, at most `max_bytes` of them.

    Memory grows with the bytes that arrive, never with a size that a header claims.

    Raises:
        ValueError: there are more bytes, or the stream is not valid gzip.
    """
    content = bytearray()
    try:
        while chunk := stream.read(min(CHUNK_BYTES, max_bytes + 1 - len(content))):
            content += chunk
            if len(content) > max_bytes:
                raise ValueError(f"{what}: must be at most {max_bytes} bytes, received more")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{what}: must be a complete gzip file, received: {error}") from error
    return content


def read_file(path: Path, max_bytes: int, *, is_gzip: bool) -> bytearray:
    """Content of a file, without its gzip wrapper if it has one; ValueError as `read_limited`."""
    with gzip.open(path) if is_gzip else path.open("rb") as stream:
        return read_limited(stream, max_bytes, str(path))


def check(content: bytearray, file: DataFile, what: str) -> bytearray:
    """Return `content` if it is that of `file`; ValueError otherwise."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(
            f"{what}: content must have SHA-256 {file.sha256} ({file.size} bytes), "
            f"received {digest} ({len(content)} bytes)"
        )
    return content


def read(dataset: Dataset, file: DataFile) -> bytearray:
    """Checked content of one file of a data set: from a data folder, else downloaded.

    Raises:
        ValueError: a file is present, but its content is not the published one.
        DatasetUnavailableError: no file is present, and no mirror delivered it.
    """
    for folder in data_folders():
        path = folder / dataset.folder / file.name
        if path.is_file():
            return check(read_file(path, file.size, is_gzip=file.is_gzip), file, str(path))
        plain = path.with_suffix("")
        if file.is_gzip and plain.is_file():
            return check(read_file(plain, file.size, is_gzip=False), file, str(plain))
    return _download(dataset, file)


def _download(dataset: Dataset, file: DataFile) -> bytearray:
    failures = []
    for mirror in dataset.mirrors:
        try:
            return _fetch(mirror + file.name, file, cache_folder() / dataset.folder)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"  {mirror}{file.name}: {error}")
    wanted = data_folders()[0] / dataset.folder
    raise DatasetUnavailableError(
        f"{file.name} is not on this machine and could not be downloaded:\n"
        + "\n".join(failures)
        + f"\nDownload it by other means and put it in the folder {wanted}\n"
        f"({'uncompressed content' if file.is_gzip else 'file'}: {file.size} bytes, "
        f"SHA-256 {file.sha256}),\nor set FASTCONV_DATA_DIR to a folder that has it "
        f"as {dataset.folder}/{file.name}."
    )


def _fetch(url: str, file: DataFile, folder: Path) -> bytearray:
    """Download into a temporary folder, check, and only then move to the final name."""
    max_bytes = file.size + (GZIP_OVERHEAD_BYTES if file.is_gzip else 0)
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        received = read_limited(response, max_bytes, url)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as scratch:
        part = Path(scratch) / file.name
        with part.open("wb") as target:
            target.write(received)
            target.flush()
            os.fsync(target.fileno())
        content = check(read_file(part, file.size, is_gzip=file.is_gzip), file, file.name)
        os.replace(part, folder / file.name)
    return content
