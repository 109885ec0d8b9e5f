"""Batches of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

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
