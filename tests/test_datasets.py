"""Data sets: look-up order, pinned content, damaged and hostile files, download from loopback."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import datasets
from fastconv.datasets import _idx, _store, cifar10, fashion_mnist, mnist
from fastconv.datasets._catalogue import CIFAR10, FASHION_MNIST, MNIST, DataFile, Dataset
from idx_files import idx

FULL_DATA = os.environ.get("FASTCONV_DATA_DIR", "")
# Nothing listens on the discard port of the loopback interface: refused at once.
CLOSED_MIRROR = "http://127.0.0.1:9/"


def small_split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images `(count, 4, 3)` in which every pixel differs from its neighbours, and labels."""
    images = (np.arange(count * 12) * 7 % 256).astype(np.uint8).reshape(count, 4, 3)
    return images, (np.arange(count) % 10).astype(np.uint8)


def small_files() -> dict[str, bytes]:
    """The four files of a data set of 5 and 2 images, uncompressed."""
    (x_train, y_train), (x_test, y_test) = small_split(5), small_split(2)
    return dict(zip(_idx.FILE_NAMES, map(idx, (x_train, y_train, x_test, y_test)), strict=True))


def small_dataset(*mirrors: str) -> Dataset:
    """`small_files` as a published data set."""
    return Dataset(
        folder="small",
        mirrors=mirrors,
        files=tuple(
            DataFile(f"{name}.gz", len(content), hashlib.sha256(content).hexdigest())
            for name, content in small_files().items()
        ),
    )


def assert_small(loaded: tuple[_idx.Split, _idx.Split]) -> None:
    """The arrays are those of `small_files`."""
    for split, count in zip(loaded, (5, 2), strict=True):
        for array, expected in zip(split, small_split(count), strict=True):
            np.testing.assert_array_equal(array, expected, strict=True)


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no data, an empty cache folder and no proxy."""
    monkeypatch.delenv("FASTCONV_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The folder that the small data set is kept in."""
    return tmp_path / "cache" / "fastconv" / "small"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server on the loopback interface: its URL, and the paths asked for so far."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the small data set as a mirror has it."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, content in small_files().items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


# --- what is published --------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [MNIST, FASHION_MNIST], ids=lambda d: d.folder)
def test_catalogue_sizes_are_those_of_the_published_shapes(dataset: Dataset) -> None:
    shapes = [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    for file, shape, name in zip(dataset.files, shapes, _idx.FILE_NAMES, strict=True):
        assert file.name == f"{name}.gz"
        assert file.size == 4 + 4 * len(shape) + np.prod(shape)


@pytest.mark.parametrize("dataset", [MNIST, FASHION_MNIST, CIFAR10], ids=lambda d: d.folder)
def test_catalogue_is_well_formed(dataset: Dataset) -> None:
    assert all(url.startswith("http") and url.endswith("/") for url in dataset.mirrors)
    for file in dataset.files:
        assert len(bytes.fromhex(file.sha256)) == 32


@pytest.mark.skipif(not FULL_DATA, reason="needs the full data sets in FASTCONV_DATA_DIR")
@pytest.mark.parametrize(
    ("module", "folder", "first_labels"),
    # First five labels as the data sets' pages show them.
    [(mnist, "mnist", [5, 0, 4, 1, 9]), (fashion_mnist, "fashion-mnist", [9, 0, 0, 3, 0])],
    ids=["mnist", "fashion-mnist"],
)
def test_full_data(module, folder, first_labels, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (Path(FULL_DATA) / folder).is_dir():
        pytest.skip(f"{folder} is not in FASTCONV_DATA_DIR")
    monkeypatch.setenv("FASTCONV_DATA_DIR", FULL_DATA)
    (x_train, y_train), (x_test, y_test) = module.load_data()
    assert x_train.shape == (60000, 28, 28)
    assert y_train.shape == (60000,)
    assert x_test.shape == (10000, 28, 28)
    assert y_test.shape == (10000,)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert y_train[:5].tolist() == first_labels
    assert np.unique(y_test).tolist() == list(range(10))


# --- look-up order ------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [True, False])
def test_data_dir_comes_first(compressed, tmp_path, cache, monkeypatch) -> None:
    folder = tmp_path / "data" / "small"
    folder.mkdir(parents=True)
    cache.mkdir(parents=True)
    for name, content in small_files().items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
        (cache / f"{name}.gz").write_bytes(b"must not be read")
    monkeypatch.setenv("FASTCONV_DATA_DIR", str(tmp_path / "data"))
    assert_small(_idx.load(small_dataset(CLOSED_MIRROR)))


def test_cache_comes_before_the_network(site, cache) -> None:
    with serving(site) as (url, asked):
        assert_small(_idx.load(small_dataset(url)))
        assert len(asked) == 4
        assert_small(_idx.load(small_dataset(url)))
        assert len(asked) == 4
    assert sorted(p.name for p in cache.iterdir()) == sorted(p.name for p in site.iterdir())


def test_the_next_mirror_is_asked(site) -> None:
    with serving(site) as (url, _):
        assert_small(_idx.load(small_dataset(CLOSED_MIRROR, url + "missing/", url)))


def test_default_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setattr("sys.platform", "linux")
    assert _store.cache_folder() == Path("/nowhere/.cache/fastconv")
    monkeypatch.setattr("sys.platform", "darwin")
    assert _store.cache_folder() == Path("/nowhere/Library/Caches/fastconv")


# --- no network, wrong content ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "dataset"),
    [
        (mnist, "MNIST", MNIST),
        (fashion_mnist, "FASHION_MNIST", FASHION_MNIST),
        (cifar10, "CIFAR10", CIFAR10),
    ],
    ids=["mnist", "fashion-mnist", "cifar10"],
)
def test_offline_error_names_file_url_hash_and_folder(
    module, name, dataset, tmp_path, monkeypatch
) -> None:
    offline = dataclasses.replace(dataset, mirrors=(CLOSED_MIRROR,))
    monkeypatch.setattr(module, name, offline)
    with pytest.raises(datasets.DatasetUnavailableError) as caught:
        module.load_data()
    message = str(caught.value)
    first = dataset.files[0]
    assert CLOSED_MIRROR + first.name in message
    assert first.sha256 in message
    assert str(tmp_path / "cache" / "fastconv" / dataset.folder) in message
    assert not (tmp_path / "cache").exists()

    monkeypatch.setenv("FASTCONV_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(datasets.DatasetUnavailableError, match=str(tmp_path / "data")):
        module.load_data()


def test_wrong_content_on_this_machine_is_an_error(cache) -> None:
    dataset = small_dataset(CLOSED_MIRROR)
    cache.mkdir(parents=True)
    content = bytearray(small_files()[_idx.FILE_NAMES[0]])
    content[-1] ^= 1
    path = cache / dataset.files[0].name
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="SHA-256") as caught:
        _idx.load(dataset)
    assert str(path) in str(caught.value)
    assert dataset.files[0].sha256 in str(caught.value)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>please log in</html>",
        gzip.compress(small_files()[_idx.FILE_NAMES[0]])[:-9],
        gzip.compress(b"other"),
        bytes(1 << 20),
        gzip.compress(bytes(1 << 20)),
    ],
    ids=["not gzip", "cut short", "other content", "too long", "bomb"],
)
def test_wrong_download_leaves_nothing_behind(content, site, cache) -> None:
    (site / f"{_idx.FILE_NAMES[0]}.gz").write_bytes(content)
    with serving(site) as (url, _), pytest.raises(datasets.DatasetUnavailableError, match=url):
        _idx.load(small_dataset(url))
    assert not cache.exists() or list(cache.iterdir()) == []


def test_failed_write_leaves_nothing_behind(site, cache, monkeypatch) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with serving(site) as (url, _), pytest.raises(datasets.DatasetUnavailableError, match="space"):
        _idx.load(small_dataset(url))
    assert list(cache.iterdir()) == []


def test_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(64):
            stream.write(bytes(1 << 20))
    read: list[int] = []

    class Counted(gzip.GzipFile):
        def read(self, size: int | None = -1) -> bytes:
            chunk = super().read(size)
            read.append(len(chunk))
            return chunk

    with Counted(path) as stream, pytest.raises(ValueError, match="at most 1000 bytes"):
        _store.read_limited(stream, 1000, "bomb")
    assert sum(read) == 1001


# --- IDX ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 28, 28), (1, 1, 1), (3, 4, 5)])
def test_parse_idx(shape) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    parsed = _idx.parse_idx(bytearray(idx(array)), 3, "images")
    np.testing.assert_array_equal(parsed, array, strict=True)
    assert parsed.flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "IDX header"),
        (b"\x00\x00\x08", "IDX header"),
        (struct.pack(">II", 0x0803, 1), "IDX header"),
        (struct.pack(">II", 0x0801, 1) + bytes(9), "IDX header"),
        (struct.pack(">IIII", 0x0D03, 1, 1, 1) + bytes(4), "IDX header"),
        (struct.pack("<IIII", 0x0803, 1, 1, 1) + bytes(1), "IDX header"),
        (struct.pack(">IIII", 0x0803, 2, 3, 4) + bytes(23), "expected 40 bytes, received 39"),
        (struct.pack(">IIII", 0x0803, 2, 3, 4) + bytes(25), "expected 40 bytes, received 41"),
        # Products that wrap to a small number in 32 and in 64 bits.
        (struct.pack(">IIII", 0x0803, 1 << 16, 1 << 16, 1), "must match the file"),
        (struct.pack(">IIII", 0x0803, 1 << 31, 1 << 31, 4), "must match the file"),
    ],
)
def test_parse_idx_refuses(content, message) -> None:
    with pytest.raises(ValueError, match=message):
        _idx.parse_idx(bytearray(content), 3, "images")


@given(st.binary(max_size=64), st.integers(1, 3))
def test_parse_idx_never_fails_in_another_way(content, rank) -> None:
    with contextlib.suppress(ValueError):
        _idx.parse_idx(bytearray(content), rank, "fuzz")


def test_load_idx_folder(site) -> None:
    assert_small(datasets.load_idx_folder(site))
    assert_small(datasets.load_idx_folder(str(site)))


def test_load_idx_folder_names_the_missing_file(site) -> None:
    (site / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        datasets.load_idx_folder(site)


def test_load_idx_folder_wants_one_label_per_image(site) -> None:
    (site / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(small_split(3)[1])))
    with pytest.raises(ValueError, match="expected 2, received 3"):
        datasets.load_idx_folder(site)


def test_load_idx_folder_caps_the_size(site, monkeypatch) -> None:
    monkeypatch.setattr(_idx, "MAX_BYTES", 50)
    with pytest.raises(ValueError, match="at most 50 bytes"):
        datasets.load_idx_folder(site)


# --- the sample ---------------------------------------------------------------------------------


def test_sample_is_stratified() -> None:
    (x_train, y_train), (x_test, y_test) = mnist.load_sample()
    assert x_train.shape == (6000, 28, 28)
    assert x_test.shape == (1000, 28, 28)
    assert np.bincount(y_train).tolist() == [600] * 10
    assert np.bincount(y_test).tolist() == [100] * 10
    assert x_train.dtype == x_test.dtype == np.uint8


@pytest.mark.skipif(not FULL_DATA, reason="needs the full data sets in FASTCONV_DATA_DIR")
def test_sample_is_part_of_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCONV_DATA_DIR", FULL_DATA)
    for (x, y), (x_full, y_full) in zip(mnist.load_sample(), mnist.load_data(), strict=True):
        rows = {(image.tobytes(), label) for image, label in zip(x_full, y_full, strict=True)}
        assert all((image.tobytes(), label) in rows for image, label in zip(x, y, strict=True))
