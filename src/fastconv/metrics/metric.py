"""What all metrics share, and means of values."""

# Overrides have the arguments and the docstrings of what they override.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fastconv.configurable import Configurable
from fastconv.layers.naming import unique_name

if TYPE_CHECKING:
    from collections.abc import Callable


class Metric(Configurable):
    """Base class: override `update_state`, `result` and `reset_state`.

    Args:
        name: made from the class name by default.

    Attributes:
        needs_probabilities: whether predictions must have gone through the model's softmax; False
            where only their order counts.
        direction: whether a large ("max") or a small ("min") figure is good; None if not known.
    """

    needs_probabilities: ClassVar[bool] = True
    direction: ClassVar[Literal["max", "min"] | None] = None

    def __init__(self, name: str | None = None) -> None:
        self.name = name or unique_name(type(self).__name__)

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take in one batch."""
        raise NotImplementedError

    def result(self) -> Any:
        """The figure over all batches since the last reset; 0 if there were none."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Start anew."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Take in one batch and give the running figure."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Average(Metric):
    """total / count, both float64."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.reset_state()

    def add(self, total: float, count: float) -> None:
        """Add a sum of `count` values."""
        self._total += total
        self._count += count

    def add_values(self, values: npt.NDArray[Any], sample_weight: npt.ArrayLike | None) -> None:
        """Add values, each with its weight (broadcast from the first axes) or with 1."""
        if sample_weight is None:
            self.add(float(np.add.reduce(values, axis=None)), values.size)
            return
        weights = broadcast_weights(sample_weight, values.shape)
        self.add(float(np.sum(values * weights)), float(np.sum(weights)))

    def result(self) -> float:
        return self._total / self._count if self._count else 0.0

    def reset_state(self) -> None:
        self._total = 0.0
        self._count = 0.0


class Mean(Average):
    """The (weighted) mean of values.

    >>> mean = Mean()
    >>> mean.update_state([1, 3, 5, 7])
    >>> mean.result()
    4.0
    """

    def __init__(self, name: str | None = "mean") -> None:
        super().__init__(name)

    def update_state(  # type: ignore[override]
        self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take in an array of values."""
        self.add_values(np.asarray(values, np.float64), sample_weight)


class MeanMetricWrapper(Average):
    """The mean over samples of a function of `(y_true, y_pred)` that gives one value each.

    Args:
        fn: the function.
        name: that of the function by default.
        options: given to the function by name.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, **options: Any) -> None:
        super().__init__(name or getattr(fn, "__name__", None))
        self._fn = fn
        self._options = options

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take in one batch."""
        values = self._fn(np.asarray(y_true), np.asarray(y_pred), **self._options)
        self.add_values(np.asarray(values), sample_weight)


def broadcast_weights(
    sample_weight: npt.ArrayLike, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Weights from the first axes on, for every entry of `shape`."""
    weights = np.asarray(sample_weight, np.float64)
    if weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    weights = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    return np.broadcast_to(weights, shape)
