"""Helpers under Keras' names."""

from __future__ import annotations

import operator
import random as python_random

import numpy as np
import numpy.typing as npt

from fastconv import random
from fastconv._errors import value_error
from fastconv.layers.naming import forget_names
from fastconv.plotting import plot_confusion_matrix, plot_history

__all__ = [
    "clear_session",
    "plot_confusion_matrix",
    "plot_history",
    "set_random_seed",
    "to_categorical",
]


def set_random_seed(seed: int) -> None:
    """Make a run repeat bit for bit: weights, shuffling and dropout, at any thread count.

    Seeds Python's `random` and `numpy.random` as well, as Keras does.

    Args:
        seed: 0 <= seed < 2**32.

    Raises:
        ValueError: a seed out of range.
    """
    seed = operator.index(seed)
    if not 0 <= seed < 2**32:
        raise value_error("set_random_seed", "seed", "is out of range", "0 <= seed < 2**32", seed)
    python_random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the legacy generator is what Keras seeds
    random.seed(seed)


def clear_session() -> None:
    """Let automatic names of layers and models start without numbers again."""
    forget_names()


def to_categorical(x: npt.ArrayLike, num_classes: int | None = None) -> npt.NDArray[np.float64]:
    """One-hot rows of integer labels.

    Args:
        x: integers of any shape; a last axis of size 1 is dropped.
        num_classes: size of the new last axis; by default the largest label and one.

    Returns:
        `(*shape, num_classes)`, float64 as in Keras.

    Raises:
        ValueError: a label outside [0, num_classes).

    >>> to_categorical([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    labels = np.asarray(x, np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        rule, received = "holds a label out of range", f"{labels.min()} .. {labels.max()}"
        raise value_error("to_categorical", "x", rule, f"0 <= label < {num_classes}", received)
    one_hot = np.zeros((*labels.shape, num_classes))
    np.put_along_axis(one_hot, labels[..., None], 1.0, axis=-1)
    return one_hot
