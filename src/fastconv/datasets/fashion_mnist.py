"""Fashion-MNIST: 28x28 images of clothes (Zalando SE; MIT licence)."""

from fastconv.datasets import _idx
from fastconv.datasets._catalogue import FASHION_MNIST, Split

__all__ = ["load_data"]


def load_data() -> tuple[Split, Split]:
    """Load Fashion-MNIST: 60,000 training and 10,000 test images in 10 classes.

    The classes are T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag and
    ankle boot. The files are looked for in `$FASTCONV_DATA_DIR/fashion-mnist/` and in the user's
    cache folder, then downloaded (30 MB) to the latter. The SHA-256 of each uncompressed file is
    pinned.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, uint8: images `(60000, 28, 28)` and
        `(10000, 28, 28)` with grey values 0 to 255, labels `(60000,)` and `(10000,)`.

    Raises:
        DatasetUnavailableError: the files are neither here nor can they be downloaded.
        ValueError: a file is here, but its content is not the published one.
    """
    return _idx.load(FASHION_MNIST)
