"""CIFAR-10: the layout of its archive, and archives that are damaged or hostile."""

import contextlib
import dataclasses
import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastconv.datasets import cifar10
from fastconv.datasets._catalogue import CIFAR10, DataFile

ROWS = 4


def cifar_batch(number: int) -> bytes:
    """Rows of label and planes; each byte depends on batch, row, plane, and place."""
    rows = np.empty((ROWS, cifar10.ROW_BYTES), np.uint8)
    rows[:, 0] = (np.arange(ROWS) + number) % 10
    rows[:, 1:] = (np.arange(ROWS)[:, None] * 31 + np.arange(3072) * 7 + number * 11) % 256
    return rows.tobytes()


def cifar_archive(replace: dict[str, bytes | None] | None = None) -> bytearray:
    """The published layout, with members changed, added, or (None) left out."""
    members: dict[str, bytes | None] = {f"{cifar10.FOLDER}/batches.meta.txt": b"airplane\n"}
    members |= {name: cifar_batch(i) for i, name in enumerate(cifar10.TRAIN_MEMBERS)}
    members |= {f"{cifar10.FOLDER}/readme.html": b"<html>", cifar10.TEST_MEMBER: cifar_batch(9)}
    members |= replace or {}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        folder = tarfile.TarInfo(cifar10.FOLDER)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            if content is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return bytearray(packed.getvalue())


def test_cifar_layout() -> None:
    (x_train, y_train), (x_test, y_test) = cifar10.parse_archive(cifar_archive(), ROWS, "cifar")
    assert x_train.shape == (5 * ROWS, 32, 32, 3)
    assert y_train.shape == (5 * ROWS, 1)
    assert x_test.shape == (ROWS, 32, 32, 3)
    assert y_test.shape == (ROWS, 1)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    # Batch 2, row 1, channel 1 (green), pixel (5, 6), by the formula of `cifar_batch`.
    assert x_train[2 * ROWS + 1, 5, 6, 1] == (31 + (1024 + 5 * 32 + 6) * 7 + 22) % 256
    assert y_train[2 * ROWS + 1, 0] == 3
    assert y_test[:, 0].tolist() == [9, 0, 1, 2]


def test_cifar_load_data(tmp_path, monkeypatch) -> None:
    archive = cifar_archive()
    file = DataFile("cifar-10-binary.tar.gz", len(archive), hashlib.sha256(archive).hexdigest())
    small = dataclasses.replace(CIFAR10, mirrors=(), files=(file,))
    monkeypatch.setattr(cifar10, "CIFAR10", small)
    monkeypatch.setattr(cifar10, "ROWS_PER_BATCH", ROWS)
    monkeypatch.setenv("FASTCONV_DATA_DIR", str(tmp_path))
    path = tmp_path / "cifar10" / file.name
    path.parent.mkdir()
    path.write_bytes(archive)
    assert cifar10.load_data()[0][0].shape == (5 * ROWS, 32, 32, 3)

    archive[len(archive) // 2] ^= 1
    path.write_bytes(archive)
    with pytest.raises(ValueError, match="SHA-256"):
        cifar10.load_data()


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ({"../evil": b"x"}, "evil"),
        ({"/etc/passwd": b"x"}, "passwd"),
        ({f"{cifar10.FOLDER}/data_batch_6.bin": b"x"}, "data_batch_6"),
        ({f"{cifar10.FOLDER}/data_batch_1": b"pickle"}, "data_batch_1'"),
        ({cifar10.TEST_MEMBER: None}, "test_batch.bin"),
        ({cifar10.TEST_MEMBER: cifar_batch(0)[:-1]}, "must be a file of 12292 bytes"),
        ({cifar10.TEST_MEMBER: b"\x0a" + cifar_batch(0)[1:]}, "at most 9, received 10"),
        ({f"{cifar10.FOLDER}/readme.html": bytes(2 << 20)}, "must be at most"),
    ],
)
def test_cifar_refuses(replace, message) -> None:
    with pytest.raises(ValueError, match=message):
        cifar10.parse_archive(cifar_archive(replace), ROWS, "cifar")


def test_cifar_refuses_links_and_doubles() -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.REGTYPE):
        tar = io.BytesIO(gzip.decompress(cifar_archive()))
        with tarfile.open(fileobj=tar, mode="a") as members:
            info = tarfile.TarInfo(cifar10.TEST_MEMBER)
            info.type = kind
            info.linkname = "/etc/passwd"
            members.addfile(info)
        with pytest.raises(ValueError, match="test_batch"):
            cifar10.parse_archive(bytearray(gzip.compress(tar.getvalue())), ROWS, "cifar")
        only = io.BytesIO()
        with tarfile.open(fileobj=only, mode="w") as members:
            members.addfile(info)
        with pytest.raises(ValueError, match="must be a file of"):
            cifar10.parse_archive(bytearray(gzip.compress(only.getvalue())), ROWS, "cifar")


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), min_size=1, max_size=20))
def test_cifar_header_fuzz(changes) -> None:
    tar = bytearray(gzip.decompress(cifar_archive()))
    # Headers are 512-byte blocks: the folder's is block 0, the text file's block 1, and the first
    # batch's block 3; the checksum field is renewed so that the other fields are really read.
    for start in (0, 512, 3 * 512):
        header = tar[start : start + 512]
        for place, value in changes:
            header[place] = value
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header):06o}\0 ".encode()
        tar[start : start + 512] = header
        with contextlib.suppress(ValueError):
            cifar10.parse_archive(bytearray(gzip.compress(tar, 1)), ROWS, "fuzz")


def test_cifar_negative_size_does_not_loop() -> None:
    tar = bytearray(gzip.decompress(cifar_archive()))
    # Size -512 in base 256 (GNU): the member after the text file would be the text file again.
    header = tar[512:1024]
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    tar[512:1024] = header
    with pytest.raises(ValueError, match="cifar"):
        cifar10.parse_archive(bytearray(gzip.compress(tar)), ROWS, "cifar")
