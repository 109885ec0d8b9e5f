"""The published files: where they are, and what their content must be.

For gzip-compressed IDX files size and SHA-256 are those of the *uncompressed* file, because the
gzip wrapper differs between mirrors. For CIFAR-10 they are those of the archive as published.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Split = tuple[Images, Images]


@dataclass(frozen=True)
class DataFile:
    """One published file: its name, and the size in bytes and SHA-256 of its content."""

    name: str
    size: int
    sha256: str

    @property
    def is_gzip(self) -> bool:
        """Whether the content is inside a gzip wrapper."""
        return self.name.endswith("-ubyte.gz")


@dataclass(frozen=True)
class Dataset:
    """A folder name, the mirrors (each a URL that ends with a slash) and the files."""

    folder: str
    mirrors: tuple[str, ...]
    files: tuple[DataFile, ...]


IMAGE_BYTES = {"train": 47_040_016, "t10k": 7_840_016}
LABEL_BYTES = {"train": 60_008, "t10k": 10_008}

# Mirrors: the first two are torchvision's and TensorFlow Datasets'.
MNIST = Dataset(
    folder="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files=(
        DataFile(
            "train-images-idx3-ubyte.gz",
            IMAGE_BYTES["train"],
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        DataFile(
            "train-labels-idx1-ubyte.gz",
            LABEL_BYTES["train"],
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        DataFile(
            "t10k-images-idx3-ubyte.gz",
            IMAGE_BYTES["t10k"],
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        DataFile(
            "t10k-labels-idx1-ubyte.gz",
            LABEL_BYTES["t10k"],
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
)

# Mirrors: Keras' and the authors' (which torchvision uses; plain HTTP, hence the pinned content).
FASHION_MNIST = Dataset(
    folder="fashion-mnist",
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    files=(
        DataFile(
            "train-images-idx3-ubyte.gz",
            IMAGE_BYTES["train"],
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        DataFile(
            "train-labels-idx1-ubyte.gz",
            LABEL_BYTES["train"],
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        DataFile(
            "t10k-images-idx3-ubyte.gz",
            IMAGE_BYTES["t10k"],
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        DataFile(
            "t10k-labels-idx1-ubyte.gz",
            LABEL_BYTES["t10k"],
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
)

# Size and SHA-256 as TensorFlow Datasets publishes them (url_checksums/cifar10.txt); the authors'
# page gives the MD5 of the same archive, c32a1d4ab5d03f1284b67883e8d87530.
CIFAR10 = Dataset(
    folder="cifar10",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    files=(
        DataFile(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
)
