"""Starting values of weights: Keras 3's names, defaults and formulas."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv import random
from fastconv._errors import value_error
from fastconv.configurable import Configurable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Float32Array: TypeAlias = npt.NDArray[np.float32]


class Initializer(Configurable):
    """A callable that gives a new float32 array of a shape."""

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        """A new array of `shape`."""
        raise NotImplementedError


class Constant(Initializer):
    """Every value is `value`."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        return np.full(shape, self.value, np.float32)


class Zeros(Constant):
    """Every value is 0."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Every value is 1."""

    def __init__(self) -> None:
        super().__init__(1.0)


class RandomInitializer(Initializer):
    """Draws from a generator seeded with `seed`.

    An instance gives the same values at every call. Without a seed it takes the next one of the
    sequence that `utils.set_random_seed` starts.

    Args:
        seed: an int, or None.

    Raises:
        TypeError: a seed that is no int.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else operator.index(seed)
        self._first = random.next_seed() if self.seed is None else self.seed

    def generator(self) -> np.random.Generator:
        """A generator at the start of this initialiser's sequence."""
        return random.generator(self._first)


class RandomUniform(RandomInitializer):
    """Uniform in [minval, maxval); `seed` as for `RandomInitializer`."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        return _uniform(self.generator(), shape, self.minval, self.maxval)


class RandomNormal(RandomInitializer):
    """Normal with `mean` and standard deviation `stddev`; `seed` as for `RandomInitializer`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        return _normal(self.generator(), shape, self.mean, self.stddev)


class TruncatedNormal(RandomNormal):
    """`RandomNormal` whose values further than two `stddev` from `mean` are drawn again."""

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        return _truncated_normal(self.generator(), shape, self.mean, self.stddev)


# Standard deviation of the unit normal cut at two: sqrt(1 - 4 pdf(2) / (2 cdf(2) - 1)).
_CUT_STDDEV = math.sqrt(1 - 4 * (math.exp(-2) / math.sqrt(2 * math.pi)) / math.erf(math.sqrt(2)))


class VarianceScaling(RandomInitializer):
    """Values of variance `scale / n`, n from the weight's fans.

    fan_in is C * kh * kw and fan_out filters * kh * kw for a kernel (kh, kw, C, filters).

    Args:
        scale: positive.
        mode: "fan_in", "fan_out" or "fan_avg", which fan n is.
        distribution: "uniform", "truncated_normal" or "untruncated_normal".
        seed: as for `RandomInitializer`.

    Raises:
        ValueError: a scale that is not positive, an unknown mode or distribution.
        TypeError: a seed that is no int.

    Source: Glorot and Bengio (2010), He et al. (2015), in Keras' formulation.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        if not scale > 0:
            raise value_error(type(self).__name__, "scale", "must be positive", "> 0", scale)
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            raise value_error(type(self).__name__, "mode", "is not known", modes, repr(mode))
        distributions = ("uniform", "truncated_normal", "untruncated_normal")
        if distribution not in distributions:
            name = type(self).__name__
            raise value_error(
                name, "distribution", "is not known", distributions, repr(distribution)
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        fan_in, fan_out = compute_fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return _uniform(self.generator(), shape, -limit, limit)
        if self.distribution == "truncated_normal":
            return _truncated_normal(
                self.generator(), shape, 0.0, math.sqrt(variance) / _CUT_STDDEV
            )
        return _normal(self.generator(), shape, 0.0, math.sqrt(variance))


class GlorotUniform(VarianceScaling):
    """Uniform within sqrt(6 / (fan_in + fan_out)); `seed` as for `RandomInitializer`."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (fan_in + fan_out); `seed` as for `RandomInitializer`."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform within sqrt(6 / fan_in); `seed` as for `RandomInitializer`."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / fan_in; `seed` as for `RandomInitializer`."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform within sqrt(3 / fan_in); `seed` as for `RandomInitializer`."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / fan_in; `seed` as for `RandomInitializer`."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(RandomInitializer):
    """A matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    The last axis makes the columns, all others the rows; of fewer than two axes a ValueError.
    `seed` as for `RandomInitializer`.

    Source: Saxe et al. (2014); the signs of Mezzadri (2007) make every such matrix equally likely.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        if len(shape) < 2:
            expected = "at least two axes"
            raise value_error("Orthogonal", "shape", "has too few axes", expected, tuple(shape))
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = self.generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q *= np.sign(np.diag(r)) * self.gain
        return (q if rows >= columns else q.T).reshape(shape).astype(np.float32)


class Identity(Initializer):
    """The identity matrix times `gain`, for weights with two axes; of others a ValueError."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int]) -> Float32Array:
        if len(shape) != 2:
            raise value_error("Identity", "shape", "must have two axes", "2", tuple(shape))
        return np.eye(*shape, dtype=np.float32) * np.float32(self.gain)


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight.

    >>> compute_fans((3, 3, 32, 64))
    (288, 576)
    """
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    taps = math.prod(shape[:-2])
    return shape[-2] * taps, shape[-1] * taps


def _uniform(
    generator: np.random.Generator, shape: Sequence[int], low: float, high: float
) -> Float32Array:
    values = generator.random(tuple(shape), np.float32)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values


def _normal(
    generator: np.random.Generator, shape: Sequence[int], mean: float, stddev: float
) -> Float32Array:
    values = generator.standard_normal(tuple(shape), np.float32)
    values *= np.float32(stddev)
    values += np.float32(mean)
    return values


def _truncated_normal(
    generator: np.random.Generator, shape: Sequence[int], mean: float, stddev: float
) -> Float32Array:
    values = generator.standard_normal(tuple(shape), np.float32)
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = generator.standard_normal(int(outside.sum()), np.float32)
        outside = np.abs(values) > 2
    values *= np.float32(stddev)
    values += np.float32(mean)
    return values


_NAMES: dict[str, type[Initializer]] = {
    "constant": Constant,
    "zeros": Zeros,
    "ones": Ones,
    "random_uniform": RandomUniform,
    "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "identity": Identity,
}
_NAMES |= {initializer.__name__: initializer for initializer in _NAMES.values()}


def get(identifier: str | Callable[..., Any]) -> Callable[[Sequence[int]], Any]:
    """The initialiser of a name, a class, or any callable that takes a shape.

    >>> get("zeros")((2,))
    array([0., 0.], dtype=float32)

    Raises:
        ValueError: an unknown name, or something that cannot be called.
    """
    if isinstance(identifier, str):
        if identifier not in _NAMES:
            names = ", ".join(name for name in _NAMES if name.islower())
            raise value_error(
                "initializers.get", "identifier", "is not known", f"one of {names}", identifier
            )
        return _NAMES[identifier]()
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier):
        return identifier
    raise value_error(
        "initializers.get", "identifier", "is not known", "a name or a callable", repr(identifier)
    )
