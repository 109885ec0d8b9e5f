"""Matrix product, activations and the cross-entropy of softmax."""

# ruff: noqa: ARG001 - num_threads is there to have the signatures of fastconv.ops.
from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastconv._arrays import as_array, bias_array, check_shape, float_array
from fastconv._errors import type_error, value_error
from fastconv._types import Activation, FloatArray
from fastconv.reference._layout import Float64Array, activate, finish


@np.errstate(invalid="ignore", over="ignore")
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
        out: array to fill.
        num_threads: ignored.

    Returns:
        `(M, N)` in the dtype of `a`; any size may be 0, and K = 0 gives the bias alone.

    Raises:
        ValueError: shapes that do not fit, an unknown activation.
        TypeError: a dtype other than float32 and float64, or dtypes that differ.

    >>> import numpy as np
    >>> matmul(np.float32([[1, 2]]), np.float32([[3, 4]]), transpose_b=True).tolist()
    [[11.0]]
    """
    a = float_array("matmul", "a", a, rank=2)
    b = float_array("matmul", "b", b, rank=2, dtype=a.dtype)
    left, right = (a.T if transpose_a else a), (b.T if transpose_b else b)
    if left.shape[1] != right.shape[0]:
        rule = "does not fit a"
        expected = f"{left.shape[1]} rows (of b or its transpose)"
        raise value_error("matmul", "b", rule, expected, b.shape)
    bias = bias_array("matmul", bias, right.shape[1], a.dtype)
    inputs = (a, b) if bias is None else (a, b, bias)
    y = left.astype(np.float64) @ right.astype(np.float64)
    if bias is not None:
        y = y + bias
    return finish("matmul", activate("matmul", y, activation), a.dtype, out, inputs)


def relu(
    x: npt.ArrayLike, *, out: FloatArray | None = None, num_threads: int | None = None
) -> FloatArray:
    """0 where `x < 0`, else `x`; NaN stays NaN. Any shape, float32 or float64; `out` may be `x`.

    >>> import numpy as np
    >>> relu(np.float32([-1, 0, 2, np.nan])).tolist()
    [0.0, 0.0, 2.0, nan]
    """
    x = float_array("relu", "x", x)
    y = activate("relu", x.astype(np.float64), "relu")
    return finish("relu", y, x.dtype, out, (x,), in_place=True)


def relu_gradient(
    grad: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    out: FloatArray | None = None,
    num_threads: int | None = None,
) -> FloatArray:
    """`grad` where `y > 0`, else 0 (also where `y` is 0 or NaN); `y` may be ReLU's input or result.

    Raises:
        ValueError: shapes that differ.
        TypeError: a dtype other than float32 and float64, or dtypes that differ.
    """
    grad = float_array("relu_gradient", "grad", grad)
    y = float_array("relu_gradient", "y", y, dtype=grad.dtype)
    check_shape("relu_gradient", "y", y.shape, grad.shape)
    dx = np.where(y > 0, grad.astype(np.float64), 0.0)
    return finish("relu_gradient", dx, grad.dtype, out, (grad, y), in_place=True)


def softmax(
    x: npt.ArrayLike, *, out: FloatArray | None = None, num_threads: int | None = None
) -> FloatArray:
    """`exp(x) / sum(exp(x))` over the last axis, computed on `x - max(x)` so that none overflows.

    A row with NaN, with +inf or of -inf alone gives NaN. At least one axis, float32 or float64;
    `out` may be `x`.

    Raises:
        ValueError: no axis, or a last axis of size 0.
        TypeError: a dtype other than float32 and float64.
    """
    x = _rows("softmax", "x", x)
    y = np.exp(_log_softmax(x))
    return finish("softmax", y, x.dtype, out, (x,), in_place=True)


def log_softmax(
    x: npt.ArrayLike, *, out: FloatArray | None = None, num_threads: int | None = None
) -> FloatArray:
    """`x - log(sum(exp(x)))` over the last axis. Args, Raises: as `softmax`."""
    x = _rows("log_softmax", "x", x)
    return finish("log_softmax", _log_softmax(x), x.dtype, out, (x,), in_place=True)


@np.errstate(invalid="ignore", over="ignore")
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
        num_threads: ignored.

    Returns:
        loss `(N,)` and grad `(N, classes)`, in the dtype of `logits`.

    Raises:
        ValueError: a label out of range, shapes that do not fit, no classes.
        TypeError: a dtype other than those named.

    >>> import numpy as np
    >>> loss, grad = softmax_cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> grad.tolist()
    [[0.5, -0.5]]
    """
    operation = "softmax_cross_entropy"
    logits = _rows(operation, "logits", logits)
    if logits.ndim != 2:
        raise value_error(operation, "logits", "must have 2 axes", "(N, classes)", logits.shape)
    labels = as_array(operation, "labels", labels)
    targets = _targets(labels, logits)
    log_probabilities = _log_softmax(logits)
    # A weight of 0 leaves the class out, even where its log-probability is -inf.
    terms = np.where(targets != 0, targets * log_probabilities, 0.0)
    loss = -terms.sum(axis=1)
    grad = np.exp(log_probabilities) * targets.sum(axis=1, keepdims=True) - targets
    given, dtype = (None, None) if out is None else out, logits.dtype
    loss = finish(operation, loss, dtype, given[0], (logits, labels), argument="out[0]")
    grad = finish(operation, grad, dtype, given[1], (logits, labels, loss), argument="out[1]")
    return loss, grad


def _rows(operation: str, argument: str, value: npt.ArrayLike) -> FloatArray:
    array = float_array(operation, argument, value)
    if array.ndim == 0 or array.shape[-1] == 0:
        rule = "has no classes"
        raise value_error(operation, argument, rule, "a last axis of size >= 1", array.shape)
    return array


@np.errstate(invalid="ignore", over="ignore")
def _log_softmax(x: FloatArray) -> Float64Array:
    wide = x.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _targets(labels: npt.NDArray[np.generic], logits: FloatArray) -> Float64Array:
    operation, (samples, classes) = "softmax_cross_entropy", logits.shape
    if labels.dtype == logits.dtype and labels.ndim == 2:
        check_shape(operation, "labels", labels.shape, logits.shape)
        return labels.astype(np.float64)
    if labels.dtype.kind not in "iu":
        expected = f"integers (N,), or {logits.dtype} (N, classes)"
        raise type_error(operation, "labels", "have the wrong dtype", expected, labels.dtype)
    check_shape(operation, "labels", labels.shape, (samples,))
    if samples and (labels.min() < 0 or labels.max() >= classes):
        received = f"{labels.min()} .. {labels.max()}"
        raise value_error(operation, "labels", "are out of range", f"0 .. {classes - 1}", received)
    return np.eye(classes)[labels.astype(np.int64)]
