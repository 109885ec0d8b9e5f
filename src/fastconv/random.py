"""The one source of random seeds, so that `utils.set_random_seed` makes a run repeat."""

from __future__ import annotations

import numpy as np

_source: np.random.Generator | None = None


def seed(value: int) -> None:
    """Start the sequence of seeds anew; equal values give equal sequences."""
    global _source
    _source = np.random.Generator(np.random.PCG64(value))


def next_seed() -> int:
    """The next seed of the sequence, in [0, 2**63).

    >>> seed(1)
    >>> first = next_seed()
    >>> seed(1)
    >>> next_seed() == first
    True
    """
    global _source
    # At the first use, as importing numpy.random takes longer than importing numpy's arrays.
    if _source is None:
        _source = np.random.Generator(np.random.PCG64())
    return int(_source.integers(2**63))


def generator(seed: int | None = None) -> np.random.Generator:
    """A generator of its own, seeded with `seed` or with the next seed of the sequence."""
    return np.random.Generator(np.random.PCG64(next_seed() if seed is None else seed))
