"""Batches of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = npt.NDArray[Any]


class ArrayBatches:
    """Cuts arrays with one sample a row into batches of `batch_size`, the last one shorter.

    Each array comes out C-contiguous and in its dtype of `dtypes`. What has to be gathered or cast
    goes into buffers that every batch reuses: a batch is valid until the next one is asked for.
    """

    def __init__(
        self, arrays: tuple[Array, ...], dtypes: tuple[npt.DTypeLike, ...], batch_size: int
    ) -> None:
        self.samples = len(arrays[0])
        self.batch_size = batch_size
        largest = min(batch_size, self.samples)
        self._columns = [
            _Column(array, np.dtype(dtype), largest)
            for array, dtype in zip(arrays, dtypes, strict=True)
        ]

    def __len__(self) -> int:
        """Number of batches."""
        return -(-self.samples // self.batch_size)

    def batches(self, order: npt.NDArray[np.intp] | None = None) -> Iterator[tuple[Array, ...]]:
        """All batches, of the samples in the order given, or as they are."""
        for start in range(0, self.samples, self.batch_size):
            stop = min(start + self.batch_size, self.samples)
            if order is None:
                yield tuple(column.rows(start, stop) for column in self._columns)
            else:
                chosen = order[start:stop]
                yield tuple(column.gather(chosen) for column in self._columns)


def as_pair(validation_data: Any) -> tuple[npt.ArrayLike, npt.ArrayLike]:
    """`(x, y)` to validate on, or a ValueError."""
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        rule, expected = "must be a pair", "(x, y)"
        received = type(validation_data).__name__
        raise value_error("fit", "validation_data", rule, expected, received)
    return validation_data[0], validation_data[1]


def split_off_validation(
    x: npt.ArrayLike, y: npt.ArrayLike, share: float
) -> tuple[npt.ArrayLike, npt.ArrayLike, tuple[npt.ArrayLike, npt.ArrayLike]]:
    """The first samples to train on, and a pair of the last ones to validate on.

    Raises:
        ValueError: a share that is no fraction, or leaves one side empty.
    """
    if not 0 < share < 1:
        rule = "is out of range"
        raise value_error("fit", "validation_split", rule, "0 <= validation_split < 1", share)
    inputs, targets = np.asarray(x), np.asarray(y)
    samples = len(inputs)
    place = int(samples * (1 - share))
    if not 0 < place < samples:
        rule, expected = "leaves no samples on one side", "samples to train and to validate on"
        raise value_error("fit", "validation_split", rule, expected, f"{share} of {samples}")
    if len(targets) != samples:
        raise value_error("fit", "y", "must have as many samples as x", samples, len(targets))
    return inputs[:place], targets[:place], (inputs[place:], targets[place:])


class _Column:
    """One array, and buffers for a batch of it."""

    def __init__(self, array: Array, dtype: np.dtype[Any], batch_size: int) -> None:
        native = array.dtype.newbyteorder("=")
        self._array = np.ascontiguousarray(array, native)
        shape = (batch_size, *array.shape[1:])
        self._gathered = np.empty(shape, native)
        self._cast = None if native == dtype else np.empty(shape, dtype)

    def rows(self, start: int, stop: int) -> Array:
        return self._in_dtype(self._array[start:stop])

    def gather(self, indices: npt.NDArray[np.intp]) -> Array:
        # The indices are a permutation, so "clip" never acts: it spares take a second buffer.
        out = self._gathered[: len(indices)]
        return self._in_dtype(self._array.take(indices, axis=0, out=out, mode="clip"))

    def _in_dtype(self, rows: Array) -> Array:
        if self._cast is None:
            return rows
        out = self._cast[: len(rows)]
        np.copyto(out, rows, casting="unsafe")
        return out
