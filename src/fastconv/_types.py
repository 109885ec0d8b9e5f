"""Types that `fastconv.ops` and `fastconv.reference` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.int64]
Pair: TypeAlias = tuple[int, int]
PaddingPairs: TypeAlias = tuple[Pair, Pair]

IntOrPair: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int] | Sequence[Sequence[int]]
DataFormat: TypeAlias = Literal["channels_last", "channels_first"]
Activation: TypeAlias = Literal["linear", "relu"] | None


class Conv2DGradients(NamedTuple):
    """Gradients of a convolution; None where a gradient was not asked for.

    Attributes:
        x: shape and dtype of the input.
        kernel: `(kernel_height, kernel_width, in_channels / groups, filters)`.
        bias: `(filters,)`.
    """

    x: FloatArray | None
    kernel: FloatArray | None
    bias: FloatArray | None
