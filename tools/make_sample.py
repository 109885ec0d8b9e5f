"""Cut the MNIST sample that comes with the package out of the full data set.

    FASTCONV_DATA_DIR=... python tools/make_sample.py src/fastconv/datasets/sample

For each digit the images are evenly spaced through the full set, so that both halves of the test
set (which differ in difficulty) have their share. The files are the same bytes on every run.
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

from fastconv.datasets import mnist

TRAIN_PER_DIGIT = 600
TEST_PER_DIGIT = 100


def evenly_spaced(labels: np.ndarray, per_digit: int) -> np.ndarray:
    """Indices `(10 * per_digit,)` in rising order."""
    chosen = []
    for digit in range(10):
        of_digit = np.flatnonzero(labels == digit)
        chosen.append(of_digit[np.arange(per_digit) * len(of_digit) // per_digit])
    return np.sort(np.concatenate(chosen))


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write unsigned bytes as a gzip-compressed IDX file."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0))


def main(folder: Path) -> None:
    """Write the four files to `folder`."""
    splits = zip(
        ("train", "t10k"), mnist.load_data(), (TRAIN_PER_DIGIT, TEST_PER_DIGIT), strict=True
    )
    for name, (images, labels), per_digit in splits:
        chosen = evenly_spaced(labels, per_digit)
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", images[chosen])
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels[chosen])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
