"""The products of Winograd by parts of a kernel, on absolute values: what its bound needs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# (position, inputs, weights) of a part's products, by its taps; inputs and weights as absolute.
_PRODUCTS = {
    3: (
        (0, (0, 2), (1, 0, 0)),
        (1, (1, 2), (0.5, 0.5, 0.5)),
        (2, (1, 2), (0.5, 0.5, 0.5)),
        (3, (1, 3), (0, 0, 1)),
    ),
    2: ((0, (0, 1), (1, 0)), (1, (1,), (1, 1)), (3, (1, 2), (0, 1))),
    1: ((0, (0,), (1,)), (3, (1,), (1,))),
}
_OUTPUTS = ((0, 1, 2), (1, 2, 3))  # positions that enter each of the two outputs


def _products(kernel: int, stride: int) -> list[tuple[int, list[int], dict[int, float]]]:
    """(position, inputs, weight of each tap) along an axis."""
    found = []
    for residue in range(min(kernel, stride)):
        taps = list(range(residue, kernel, stride))
        while taps:
            part, taps = taps[:3], taps[3:]
            for position, inputs, weights in _PRODUCTS[len(part)]:
                at = [part[0] + i * stride for i in inputs]
                found.append((position, at, dict(zip(part, weights, strict=True))))
    return found


def magnitude(x: Array, kernel: Array, strides: tuple[int, int], height: int, width: int) -> Array:
    """The result on absolute values; `x` is padded, the result has `height` x `width` pixels."""
    rows, columns = (height + 1) // 2, (width + 1) // 2
    axes = [_products(kernel.shape[i], strides[i]) for i in range(2)]
    size = [
        2 * (n - 1) * strides[i] + kernel.shape[i] + strides[i]
        for i, n in enumerate((rows, columns))
    ]
    room = np.zeros(
        (len(x), *(max(s, n) for s, n in zip(size, x.shape[1:3], strict=True)), x.shape[3])
    )
    room[:, : x.shape[1], : x.shape[2]] = abs(x)
    sums = np.zeros((4, 4, len(x), rows, columns, kernel.shape[3]))
    for p, in_rows, row_taps in axes[0]:
        for q, in_columns, column_taps in axes[1]:
            weights = sum(
                v * w * abs(kernel[r, t])
                for r, v in row_taps.items()
                for t, w in column_taps.items()
            )
            inputs = sum(
                room[:, r :: 2 * strides[0], c :: 2 * strides[1]][:, :rows, :columns]
                for r in in_rows
                for c in in_columns
            )
            sums[p, q] += inputs @ weights
    tiles = np.stack(
        [
            np.stack(
                [sum(sums[p, q] for p in _OUTPUTS[i] for q in _OUTPUTS[j]) for j in range(2)],
                axis=3,
            )
            for i in range(2)
        ],
        axis=2,
    )
    return tiles.reshape(len(x), 2 * rows, 2 * columns, -1)[:, :height, :width]


def kernel_magnitude(x: Array, grad: Array, kernel: tuple[int, ...], strides: Any) -> Array:
    """The kernel gradient on absolute values; `x` is padded."""
    rows, columns = (grad.shape[1] + 1) // 2, (grad.shape[2] + 1) // 2
    room = np.pad(abs(x), [(0, 0), *((0, kernel[i] + 3 * strides[i]) for i in range(2)), (0, 0)])
    grads = np.zeros((len(grad), 2 * rows, 2 * columns, grad.shape[3]))
    grads[:, : grad.shape[1], : grad.shape[2]] = abs(grad)
    tiles = grads.reshape(len(grad), rows, 2, columns, 2, -1)
    sums = np.zeros(kernel)
    for p, in_rows, row_taps in _products(kernel[0], strides[0]):
        for q, in_columns, column_taps in _products(kernel[1], strides[1]):
            inputs = sum(
                room[:, r :: 2 * strides[0], c :: 2 * strides[1]][:, :rows, :columns]
                for r in in_rows
                for c in in_columns
            )
            outputs = sum(
                tiles[:, :, i, :, j]
                for i in range(2)
                for j in range(2)
                if p in _OUTPUTS[i] and q in _OUTPUTS[j]
            )
            product = np.einsum("nhwc,nhwk->ck", inputs, outputs)
            for r, v in row_taps.items():
                for t, w in column_taps.items():
                    sums[r, t] += v * w * product
    return sums


def input_magnitude(
    grad: Array, kernel: Array, strides: tuple[int, int], padding: Any, height: int, width: int
) -> Array:
    """The input gradient, `height` x `width` pixels, on absolute values."""
    rows, columns = (grad.shape[1] + 1) // 2, (grad.shape[2] + 1) // 2
    grads = np.zeros((len(grad), 2 * rows, 2 * columns, grad.shape[3]))
    grads[:, : grad.shape[1], : grad.shape[2]] = abs(grad)
    tiles = grads.reshape(len(grad), rows, 2, columns, 2, -1)
    size = [
        max(2 * n * strides[i] + kernel.shape[i] + strides[i], before + pixels)
        for i, (n, (before, _), pixels) in enumerate(
            zip((rows, columns), padding, (height, width), strict=True)
        )
    ]
    room = np.zeros((len(grad), *size, kernel.shape[2]))
    for p, in_rows, row_taps in _products(kernel.shape[0], strides[0]):
        for q, in_columns, column_taps in _products(kernel.shape[1], strides[1]):
            weights = sum(
                v * w * abs(kernel[r, t])
                for r, v in row_taps.items()
                for t, w in column_taps.items()
            )
            outputs = sum(
                tiles[:, :, i, :, j]
                for i in range(2)
                for j in range(2)
                if p in _OUTPUTS[i] and q in _OUTPUTS[j]
            )
            for r in in_rows:
                for c in in_columns:
                    room[:, r :: 2 * strides[0], c :: 2 * strides[1]][:, :rows, :columns] += (
                        outputs @ weights.T
                    )
    top, left = padding[0][0], padding[1][0]
    return room[:, top : top + height, left : left + width]


def most_products_of_an_input(kernel: int, stride: int) -> int:
    """Along an axis, those of all tiles that read it."""
    found = Counter(
        at % (2 * stride) for _, inputs, _ in _products(kernel, stride) for at in inputs
    )
    return max(found.values())


def depth(kernel: tuple[int, ...], strides: tuple[int, int]) -> int:
    """The most products of a position."""
    rows, columns = (
        Counter(position for position, *_ in _products(kernel[i], strides[i])) for i in range(2)
    )
    return max(rows.values()) * max(columns.values()) * kernel[2]
