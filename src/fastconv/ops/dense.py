"""Matrix product, activations and the cross-entropy of softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastconv import _core
from fastconv._arrays import as_array, bias_array, check_shape, float_array
from fastconv._errors import type_error, value_error
from fastconv._shapes import check_activation
from fastconv.ops._memory import core_threads, packed, result

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._types import Activation, FloatArray, IntArray


def matmul(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    activation: Activation = None,
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """`activation(A @ B + bias)`, where A is `a` or its transpose and B likewise.

    Args:
        a: `(M, K)`, with `transpose_a` `(K, M)`; float32 or float64.
        b: `(K, N)`, with `transpose_b` `(N, K)`.
        bias: `(N,)`, added to every row.
        activation: None, "linear" or "relu".
        out: array to fill, C-contiguous, apart from the inputs.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        `(M, N)` in the dtype of `a`; any size may be 0, and K = 0 gives the bias alone.

    Raises:
        ValueError: shapes that do not fit, an unknown activation, a bad `out`.
        TypeError: a dtype other than float32 and float64, dtypes that differ, not an array.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> matmul(np.float32([[1, 2]]), np.float32([[3, 4]]), transpose_b=True).tolist()
    [[11.0]]
    """
    product = _core.plain_matmul(a, b, bias, out, transpose_a, transpose_b, activation, num_threads)
    if product is not None:
        return product
    a = float_array("matmul", "a", a, rank=2)
    b = float_array("matmul", "b", b, rank=2, dtype=a.dtype)
    rows, depth = a.shape[::-1] if transpose_a else a.shape
    b_depth, columns = b.shape[::-1] if transpose_b else b.shape
    if depth != b_depth:
        expected = f"{depth} rows (of b or its transpose)"
        raise value_error("matmul", "b", "does not fit a", expected, b.shape)
    bias = bias_array("matmul", bias, columns, a.dtype)
    check_activation("matmul", activation)
    threads = core_threads("matmul", num_threads)
    inputs = (a, b) if bias is None else (a, b, bias)
    y = result("matmul", out, (rows, columns), a.dtype, inputs)
    a, transpose_a = _as_stored(a, transpose_a)
    b, transpose_b = _as_stored(b, transpose_b)
    if bias is not None:
        bias = packed("matmul", bias)
    _core.matmul(a, b, bias, y, bool(transpose_a), bool(transpose_b), activation == "relu", threads)
    return y


def _as_stored(matrix: FloatArray, transpose: bool) -> tuple[FloatArray, bool]:
    """`matrix` as the core can read it: packed, or the transpose of what is."""
    flags = matrix.flags
    if flags.c_contiguous and flags.aligned:
        return matrix, transpose
    if flags.f_contiguous and not flags.c_contiguous:
        matrix, transpose = matrix.T, not transpose
    return packed("matmul", matrix), transpose


def relu(
    x: npt.ArrayLike, *, out: FloatArray | None = None, num_threads: int | None = None
) -> FloatArray:
    """0 where `x < 0`, else `x`; NaN stays NaN. Any shape, float32 or float64; `out` may be `x`.

    Raises:
        TypeError: a dtype other than float32 and float64, not an array.
        ValueError: a bad `out`.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> relu(np.float32([-1, 0, 2, np.nan])).tolist()
    [0.0, 0.0, 2.0, nan]
    """
    x = float_array("relu", "x", x)
    return _elementwise("relu", _core.relu, x, out, num_threads)


def relu_gradient(
    grad: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """`grad` where `y > 0`, else 0 (also where `y` is 0 or NaN); `y` may be ReLU's input or result.

    `out` may be `grad` or `y`.

    Raises:
        ValueError: shapes that differ, a bad `out`.
        TypeError: a dtype other than float32 and float64, dtypes that differ, not an array.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> relu_gradient(np.float32([5, 6, 7]), np.float32([-1, 0, 2])).tolist()
    [0.0, 0.0, 7.0]
    """
    operation = "relu_gradient"
    grad = float_array(operation, "grad", grad)
    y = float_array(operation, "y", y, dtype=grad.dtype)
    check_shape(operation, "y", y.shape, grad.shape)
    threads = core_threads(operation, num_threads)
    dx = result(operation, out, grad.shape, grad.dtype, (grad, y), in_place=True)
    _core.relu_gradient(packed(operation, grad), packed(operation, y), dx, threads)
    return dx


def softmax(
    x: npt.ArrayLike, *, out: FloatArray | None = None, num_threads: int | None = None
) -> FloatArray:
    """`exp(x) / sum(exp(x))` over the last axis, computed on `x - max(x)` so that none overflows.

    A row with NaN, with +inf or of -inf alone gives NaN. At least one axis, float32 or float64;
    `out` may be `x`.

    Raises:
        ValueError: no axis, or a last axis of size 0, a bad `out`.
        TypeError: a dtype other than float32 and float64, not an array.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> softmax(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    x = _rows("softmax", "x", x)
    return _elementwise("softmax", _core.softmax, x, out, num_threads)


def log_softmax(
    x: npt.ArrayLike, *, out: FloatArray | None = None, num_threads: int | None = None
) -> FloatArray:
    """`x - log(sum(exp(x)))` over the last axis. Args, Raises: as `softmax`.

    >>> import numpy as np
    >>> log_softmax(np.zeros((1, 1))).tolist()
    [[0.0]]
    """
    x = _rows("log_softmax", "x", x)
    return _elementwise("log_softmax", _core.log_softmax, x, out, num_threads)


def softmax_cross_entropy(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    out: tuple[FloatArray | None, FloatArray | None] | None = None,
    num_threads: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Cross-entropy of softmax per sample, and its gradient.

    With `t` the one-hot label::

        loss = -sum over classes of t * log_softmax(logits),  where t != 0
        grad = softmax(logits) * sum(t) - t

    so `grad` is the gradient of the *sum* of the losses.

    Args:
        logits: `(N, classes)`, float32 or float64.
        labels: `(N,)` of any integer dtype, 0 <= label < classes; or `(N, classes)` in the dtype
            of `logits`, one-hot or any weights.
        out: (loss, grad) to fill, None where one is to be allocated.
        num_threads: None means `fastconv.get_num_threads()`.

    Returns:
        loss `(N,)` and grad `(N, classes)`, in the dtype of `logits`.

    Raises:
        ValueError: a label out of range, shapes that do not fit, no classes, a bad `out`.
        TypeError: a dtype other than those named, not an array.
        MemoryError: no memory for the result.

    >>> import numpy as np
    >>> loss, grad = softmax_cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> grad.tolist()
    [[0.5, -0.5]]
    """
    operation = "softmax_cross_entropy"
    logits = _rows(operation, "logits", logits)
    if logits.ndim != 2:
        raise value_error(operation, "logits", "must have 2 axes", "(N, classes)", logits.shape)
    given = as_array(operation, "labels", labels)
    targets = _targets(operation, given, logits)
    threads = core_threads(operation, num_threads)
    if out is not None and (not isinstance(out, tuple) or len(out) != 2):
        raise type_error(operation, "out", "has the wrong type", "a pair (loss, grad)", type(out))
    loss_out, grad_out = (None, None) if out is None else out
    inputs, dtype = (logits, given), logits.dtype
    loss = result(operation, loss_out, logits.shape[:1], dtype, inputs, argument="out[0]")
    grad = result(operation, grad_out, logits.shape, dtype, (*inputs, loss), argument="out[1]")
    _core.softmax_cross_entropy(packed(operation, logits), targets, loss, grad, threads)
    return loss, grad


def _elementwise(
    operation: str,
    function: Callable[[FloatArray, FloatArray, int], None],
    x: FloatArray,
    out: FloatArray | None,
    num_threads: int | None,
) -> FloatArray:
    threads = core_threads(operation, num_threads)
    y = result(operation, out, x.shape, x.dtype, (x,), in_place=True)
    function(packed(operation, x), y, threads)
    return y


def _rows(operation: str, argument: str, value: npt.ArrayLike) -> FloatArray:
    array = float_array(operation, argument, value)
    if array.ndim == 0 or array.shape[-1] == 0:
        rule = "has no classes"
        raise value_error(operation, argument, rule, "a last axis of size >= 1", array.shape)
    return array


def _targets(
    operation: str, labels: npt.NDArray[np.generic], logits: FloatArray
) -> IntArray | FloatArray:
    if labels.dtype == logits.dtype and labels.ndim == 2:
        check_shape(operation, "labels", labels.shape, logits.shape)
        return packed(operation, float_array(operation, "labels", labels))
    if labels.dtype.kind not in "iu":
        expected = f"integers (N,), or {logits.dtype} (N, classes)"
        raise type_error(operation, "labels", "have the wrong dtype", expected, labels.dtype)
    samples, classes = logits.shape
    check_shape(operation, "labels", labels.shape, (samples,))
    if samples and (labels.min() < 0 or labels.max() >= classes):
        received = f"{labels.min()} .. {labels.max()}"
        raise value_error(operation, "labels", "are out of range", f"0 .. {classes - 1}", received)
    return packed(operation, labels.astype(np.int64, copy=False))
