"""Error bounds of sums, derived; no tolerance in the tests comes from anywhere else.

Let `u` be the unit roundoff (eps / 2) and `gamma(n) = n u / (1 - n u)`. A dot product of K terms
plus a bias, added in any order, with or without fused multiply-adds, rounds each product at most
once and passes it through at most K additions, so with exact arithmetic `y`::

    |computed - y| <= gamma(K + 1) * (sum |x_i| |w_i| + |b|)

(Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1). The value that
it is compared with is itself computed in float64. For a float32 result its error is at most
gamma_64(K + 1), far below one more unit of float32, hence gamma(K + 2). For a float64 result both
have the same bound, hence twice.

Winograd F(2x2, 3x3) computes a tile of outputs as A^T [sum_c (G g G^T) * (B^T d B)] A. Each value
goes through 2 additions in a row of G, 1 in a row of B^T, C in the sum over channels, 2 in a row of
A^T, rows and columns alike, and 1 with the bias (halving is exact), so that with the magnitude of
the same computation on absolute values::

    |computed - y| <= gamma(2 * 2 + 2 * 1 + C + 2 * 2 + 1) * (|A^T| [sum_c ...] |A| + |b|)

A larger kernel is cut into parts of at most 3x3; each adds its C channels to the same sums.

F(4x4, 3x3) goes through more: 4 roundings in a row of each of its transforms (in G a constant, a
product and 2 additions; in B^T and A^T, whose constants are exact, 2 products and 2 additions or
fewer), hence 4 * 2 for each of them::

    |computed - y| <= gamma(3 * 4 * 2 + C + 1) * (|A^T| [sum_c ...] |A| + |b|)

Of few channels the sum of the second and third position of a row, with the bias, goes on over the
channels of the first or fourth: 2 C + 1 additions in place of C, 2 and 1, `winograd_few_terms`.

The kernel that pools in registers adds the 9 values that make an output one after the other: 8
additions in place of the last 2 * 2.

The kernel gradient takes the same transforms the other way, G^T [sum (A g A^T) * (B^T d B)] G over
all n tiles: 1 addition in a row of A, at most n + 2 in the sum (T in a block of T tiles, one for
each block of a chunk, one for each chunk: n tiles are T times as many), 2 in a row of G^T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def unit_roundoff(dtype: npt.DTypeLike) -> float:
    """u = eps / 2 of the dtype."""
    return float(np.finfo(dtype).eps) / 2


def gamma(roundings: int, dtype: npt.DTypeLike) -> float:
    """Relative growth of the error over this many roundings."""
    error = roundings * unit_roundoff(dtype)
    assert error < 0.1, "the bound says nothing for so long a sum"
    return error / (1 - error)


def assert_within_bound(actual: Array, expected: Array, magnitude: Array, terms: int) -> None:
    """Check sums of `terms` products elementwise.

    Args:
        actual: the result, float32 or float64.
        expected: the same sums in float64.
        magnitude: the same sums over absolute values, in float64.
        terms: K, products per sum.
    """
    factor = gamma(terms + 2, actual.dtype) * (2 if actual.dtype == np.float64 else 1)
    excess = np.abs(actual.astype(np.float64) - expected) - factor * magnitude
    assert actual.shape == expected.shape
    assert not np.isnan(excess).any()
    assert excess.size == 0 or excess.max() <= 0, f"{excess.max():.3e} above the bound"


_B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float).T
_G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
_A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float).T

FAST_POINTS = (0, 0.625, -0.625, 1.5, -1.5)


def _interpolation(outputs: int) -> tuple[Array, Array, Array]:
    """B, G and A of F(outputs, 3), for 4 from its points as Toom and Cook have it.

    Row i of G are the powers of point p_i over the product of p_i - p_j, row i of B^T the
    coefficients of the product of x - p_j, of all j but i; infinity is the last row.
    """
    if outputs == 2:
        return _B, _G, _A
    polynomial = np.polynomial.polynomial
    size = len(FAST_POINTS) + 1
    b, g, a = np.zeros((size, size)), np.zeros((size, 3)), np.zeros((size, outputs))
    for i, point in enumerate(FAST_POINTS):
        others = [other for other in FAST_POINTS if other != point]
        b[: size - 1, i] = polynomial.polyfromroots(others)
        g[i] = point ** np.arange(3) / np.prod(point - np.array(others))
        a[i] = point ** np.arange(outputs)
    b[:, -1] = polynomial.polyfromroots(FAST_POINTS)
    g[-1, -1] = a[-1, -1] = 1
    return b, g, a


def _tiles(images: Array, size: int, rows: int, columns: int, step: int = 2) -> Array:
    """Patches (image, tile row, tile column, size, size, channel), `step` apart; 0 outside."""
    height, width = step * (rows - 1) + size, step * (columns - 1) + size
    after = max(0, height - images.shape[1]), max(0, width - images.shape[2])
    padded = np.pad(images, ((0, 0), (0, after[0]), (0, after[1]), (0, 0)))[:, :height, :width]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.moveaxis(windows[:, ::step, ::step], 3, 5)


def _part(array: Array, row: int, column: int) -> Array:
    """3x3 taps of a kernel from there on, 0 beyond it."""
    part = array[row : row + 3, column : column + 3]
    return np.pad(part, ((0, 3 - part.shape[0]), (0, 3 - part.shape[1]), (0, 0), (0, 0)))


def winograd_magnitude(x: Array, kernel: Array, height: int, width: int, outputs: int = 2) -> Array:
    """|A^T| [sum_c (|G| |g| |G|^T) * (|B^T| |d| |B|)] |A| of F(outputs x outputs, 3x3).

    Of the `kernel`, in parts of 3x3, on padded images `x`; the result has `height` x `width`
    pixels.
    """
    b, g, a = (abs(matrix) for matrix in _interpolation(outputs))
    rows, columns = -(-height // outputs), -(-width // outputs)
    products: Any = 0
    for row in range(0, kernel.shape[0], 3):
        for column in range(0, kernel.shape[1], 3):
            weights = np.einsum("ir,js,rsck->ijck", g, g, abs(_part(kernel, row, column)))
            patches = abs(_tiles(x[:, row:, column:], outputs + 2, rows, columns, outputs))
            patches = np.einsum("pi,qj,nhwpqc->nhwijc", b, b, patches)
            products = products + np.einsum("nhwijc,ijck->nhwijk", patches, weights)
    tiles = np.einsum("ip,jq,nhwijk->nhpwqk", a, a, products)
    return tiles.reshape(len(x), outputs * rows, outputs * columns, -1)[:, :height, :width]


def winograd_growth(outputs: int) -> float:
    """The most by which that may exceed max |x| * sum |w|."""
    b, g, a = (abs(matrix) for matrix in _interpolation(outputs))
    return float((a.T @ (b.sum(0) * g.max(1))).max() ** 2)


def winograd_terms(channels: int, outputs: int) -> int:
    """The `terms` of assert_within_bound for such a convolution with a bias."""
    transforms = 2 * 2 + 2 * 1 + 2 * 2 if outputs == 2 else 3 * 4 * 2
    return channels + transforms


def winograd_few_terms(channels: int) -> int:
    """The `terms` of assert_within_bound for Winograd of few channels."""
    return 2 * 2 + 2 * 1 + (2 * channels + 1) + 2 - 1


def winograd_kernel_magnitude(x: Array, grad: Array, height: int = 3, width: int = 3) -> Array:
    """|G|^T [sum (|A| |g| |A|^T) * (|B^T| |d| |B|)] |G| over the tiles of `grad`; `x` is padded.

    Of a kernel of `height` x `width` taps, part by part.
    """
    a, b, g = abs(_A), abs(_B), abs(_G)
    rows, columns = (grad.shape[1] + 1) // 2, (grad.shape[2] + 1) // 2
    grads = np.einsum("ip,jq,nhwpqk->nhwijk", a, a, abs(_tiles(grad, 2, rows, columns)))
    result = np.zeros((height, width, x.shape[3], grad.shape[3]))
    for row in range(0, height, 3):
        for column in range(0, width, 3):
            patches = abs(_tiles(x[:, row:, column:], 4, rows, columns))
            patches = np.einsum("pi,qj,nhwpqc->nhwijc", b, b, patches)
            products = np.einsum("nhwijc,nhwijk->ijck", patches, grads)
            part = np.einsum("ir,js,ijck->rsck", g, g, products)
            taps = result[row : row + 3, column : column + 3]
            taps[:] = part[: taps.shape[0], : taps.shape[1]]
    return result
