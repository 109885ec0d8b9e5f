"""MNIST: 28x28 images of handwritten digits (Yann LeCun, Corinna Cortes; CC BY-SA 3.0)."""

from pathlib import Path

from fastconv.datasets import _idx
from fastconv.datasets._catalogue import MNIST, Split

__all__ = ["load_data", "load_sample"]


def load_data() -> tuple[Split, Split]:
    """Load MNIST: 60,000 training and 10,000 test images of the digits 0 to 9.

    The files are looked for in `$FASTCONV_DATA_DIR/mnist/` and in the user's cache folder, then
    downloaded (11 MB) to the latter. The SHA-256 of each uncompressed file is pinned.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, uint8: images `(60000, 28, 28)` and
        `(10000, 28, 28)` with grey values 0 to 255, labels `(60000,)` and `(10000,)`.

    Raises:
        DatasetUnavailableError: the files are neither here nor can they be downloaded.
        ValueError: a file is here, but its content is not the published one.
    """
    return _idx.load(MNIST)


def load_sample() -> tuple[Split, Split]:
    """Load the part of MNIST that comes with the package; needs no network.

    For each digit 600 training and 100 test images, evenly spaced through the full set and in its
    order, unchanged.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, uint8: images `(6000, 28, 28)` and
        `(1000, 28, 28)`, labels `(6000,)` and `(1000,)`.

    Example:
        >>> from fastconv.datasets import mnist
        >>> (x_train, y_train), (x_test, y_test) = mnist.load_sample()
        >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
        ((6000, 28, 28), (6000,), (1000, 28, 28), (1000,))
    """
    return _idx.load_idx_folder(Path(__file__).parent / "sample")
