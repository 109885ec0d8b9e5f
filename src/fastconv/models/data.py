"""Batches: cut from arrays, or taken from what gives them one after the other."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._errors import value_error

Array: TypeAlias = npt.NDArray[Any]
Batch: TypeAlias = tuple[Any, ...]
"""Inputs, targets and, if there are any, weights of samples; lists of arrays for several."""


class Batches(Protocol):
    """What training, evaluation and prediction run over.

    Attributes:
        samples: of an epoch; None if that is not known.
        steps: number of batches of an epoch; None if that is not known.
    """

    samples: int | None
    steps: int | None

    def ready(self) -> bool:
        """Whether there is a batch for another epoch."""

    def epoch(self, generator: np.random.Generator | None) -> Iterator[Batch]:
        """The batches of one epoch; of arrays in an order of the generator, or as they are."""


class ArrayBatches:
    """Cuts arrays with one sample a row into batches of `batch_size`, the last one shorter.

    Batches are C-contiguous. What has to be gathered or cast goes into buffers that every batch
    reuses: a batch is valid until the next one is asked for.

    Args:
        columns: arrays of equal length, or lists of such; the first is cast to float32.
        batch_size: samples in a batch.
        steps: batches an epoch; an epoch starts where the one before it ended. None for all.

    Attributes:
        samples, steps: as in `Batches`.
    """

    def __init__(self, columns: tuple[Any, ...], batch_size: int, steps: int | None = None) -> None:
        self._count = count = sample_count(columns[0])
        self._batch_size = batch_size
        self._whole = steps is None
        self.steps: int | None = -(-count // batch_size) if steps is None else steps
        self.samples: int | None = count if steps is None else None
        self._rest: Iterator[Batch] = iter(())
        largest = min(batch_size, count)
        first = _column(columns[0], np.dtype(np.float32), largest)
        self._columns = [first, *(_column(column, None, largest) for column in columns[1:])]

    def ready(self) -> bool:
        """There always is one."""
        return True

    def epoch(self, generator: np.random.Generator | None) -> Iterator[Batch]:
        """As in `Batches`."""
        if self._whole:
            return self._batches(generator)
        first = next(self._rest, None)
        if first is None:
            self._rest = self._batches(generator)
            first = next(self._rest)
        return _at_most(itertools.chain([first], self._rest), self.steps)

    def _batches(self, generator: np.random.Generator | None) -> Iterator[Batch]:
        order = None if generator is None else generator.permutation(self._count)
        for start in range(0, self._count, self._batch_size):
            stop = min(start + self._batch_size, self._count)
            if order is None:
                yield tuple([column.rows(start, stop) for column in self._columns])
            else:
                chosen = order[start:stop]
                yield tuple([column.gather(chosen) for column in self._columns])


class StreamBatches:
    """Batches that a generator, or another iterable, gives one after the other.

    An iterator is used up once, over all epochs; anything else is gone through anew in each.

    Args:
        source: gives what `convert` takes.
        convert: makes a batch of it.
        steps: batches an epoch. By default the length of the source; if it has none, an epoch ends
            with the source.
    """

    def __init__(
        self, source: Iterable[Any], convert: Callable[[Any], Batch], steps: int | None = None
    ) -> None:
        self.samples: int | None = None
        self.steps = steps
        if steps is None and isinstance(source, Sized):
            self.steps = len(source)
        self._source = source
        self._convert = convert
        self._anew = steps is None and not isinstance(source, Iterator)
        self._rest: Iterator[Any] = self._start()

    def peek(self) -> Any:
        """What the source gives next, which stays there; None at its end."""
        first = next(self._rest, None)
        if first is None and not isinstance(self._source, Iterator):
            self._rest = self._start()
            first = next(self._rest, None)
        if first is not None:
            self._rest = itertools.chain([first], self._rest)
        return first

    def ready(self) -> bool:
        """Whether the source gives another batch."""
        return self.peek() is not None

    def epoch(self, generator: np.random.Generator | None) -> Iterator[Batch]:  # noqa: ARG002
        """As in `Batches`; the source says in which order."""
        yield from map(self._convert, _at_most(self._rest, self.steps))
        if self._anew:
            ended = getattr(self._source, "on_epoch_end", None)
            if ended is not None:
                ended()
            self._rest = self._start()

    def _start(self) -> Iterator[Any]:
        source: Any = self._source
        if hasattr(source, "__iter__"):
            return iter(source)
        return (source[index] for index in range(len(source)))


def is_stream(x: object) -> bool:
    """Whether `x` gives batches one after the other, rather than being an array."""
    if isinstance(x, list | tuple | dict | str) or hasattr(x, "__array__"):
        return False
    if hasattr(x, "__array_interface__") or hasattr(x, "__dlpack__"):
        return False
    return isinstance(x, Iterable) or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def warn_of_end(steps: int | None) -> None:
    """Say that data have run out."""
    wanted = "for every epoch" if steps is None else f"for epochs of {steps} batches"
    warnings.warn(f"fit: the data ended; there were not enough {wanted}", stacklevel=4)


def as_validation(data: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` to validate on, the last None if it is not given, or a ValueError."""
    if is_stream(data):
        return data, None, None
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        rule, expected = "must be a pair", "(x, y), or (x, y, sample_weight)"
        raise value_error("fit", "validation_data", rule, expected, type(data).__name__)
    return data[0], data[1], data[2] if len(data) == 3 else None


def sample_count(column: Any) -> int:
    """Number of samples in an array, or in each of a list of arrays."""
    return len(column[0] if isinstance(column, list) else column)


def _at_most(batches: Iterator[Any], steps: int | None) -> Iterator[Any]:
    """The next `steps` of them, all if None; a warning if there are fewer."""
    if steps is None:
        yield from batches
        return
    for _ in range(steps):
        batch = next(batches, None)
        if batch is None:
            warn_of_end(steps)
            return
        yield batch


class _Column:
    """One array, and buffers for a batch of it."""

    def __init__(self, array: Array, dtype: np.dtype[Any] | None, batch_size: int) -> None:
        native = array.dtype.newbyteorder("=")
        self._array = np.ascontiguousarray(array, native)
        shape = (batch_size, *array.shape[1:])
        self._gathered = np.empty(shape, native)
        self._cast = None if dtype in (None, native) else np.empty(shape, dtype)

    def rows(self, start: int, stop: int) -> Any:
        return self._in_dtype(self._array[start:stop])

    def gather(self, indices: npt.NDArray[np.intp]) -> Any:
        # The indices are a permutation, so "clip" never acts: it spares take a second buffer.
        out = self._gathered[: len(indices)]
        return self._in_dtype(self._array.take(indices, axis=0, out=out, mode="clip"))

    def _in_dtype(self, rows: Array) -> Array:
        if self._cast is None:
            return rows
        out = self._cast[: len(rows)]
        np.copyto(out, rows, casting="unsafe")
        return out


class _Several:
    """A list of arrays, which go together."""

    def __init__(self, columns: list[_Column]) -> None:
        self._columns = columns

    def rows(self, start: int, stop: int) -> Any:
        return [column.rows(start, stop) for column in self._columns]

    def gather(self, indices: npt.NDArray[np.intp]) -> Any:
        return [column.gather(indices) for column in self._columns]


def _column(value: Any, dtype: np.dtype[Any] | None, batch_size: int) -> _Column | _Several:
    if isinstance(value, list):
        return _Several([_Column(array, dtype, batch_size) for array in value])
    return _Column(value, dtype, batch_size)
