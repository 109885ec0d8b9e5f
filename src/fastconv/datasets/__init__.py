"""Data sets of small images, as NumPy arrays with Keras' shapes and dtypes.

`mnist`, `fashion_mnist` and `cifar10` each have `load_data()`, which looks for the published files

1. in `$FASTCONV_DATA_DIR/<data set>/`,
2. in the user's cache folder (`~/.cache/fastconv/<data set>/` on Linux),
3. at the public mirrors, and keeps what it downloads in the cache folder.

Whatever the source, a file is used only if the SHA-256 of its content is the pinned one.
`mnist.load_sample()` reads a small part of MNIST that comes with the package, and
`load_idx_folder()` any folder of files in the same format.
"""

from fastconv.datasets import cifar10, fashion_mnist, mnist
from fastconv.datasets._idx import load_idx_folder
from fastconv.datasets._store import DatasetUnavailableError

__all__ = ["DatasetUnavailableError", "cifar10", "fashion_mnist", "load_idx_folder", "mnist"]
