"""The native ReLU, softmax, cross-entropy and dropout, on every instruction-set level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import _core, ops, reference
from support.arrays import (
    DTYPES,
    Guarded,
    assert_equal,
    assert_same_bits,
    guarded_copy,
    reals,
)
from support.bounds import gamma, unit_roundoff

SPECIAL = [np.nan, -np.inf, np.inf, -0.0, 0.0, -1.0, 1.0, 1e-40, -1e-40, 3e38]
LARGE = 1_500_000
"""Elements; enough work for several threads."""

ROWS = ((1, 1), (3, 2), (5, 7), (4, 10), (2, 16), (3, 33), (2, 100), (1, 1000), (0, 10), (2, 3, 5))
SCALES = (1.0, 30.0, 500.0)


def special_values(size: int, dtype: type) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.resize(np.array(SPECIAL), size).astype(dtype)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_and_its_gradient_at_every_length(dtype: type) -> None:
    for size in range(70):
        x = guarded_copy(special_values(size, dtype))
        grad = guarded_copy(reals(0, size).astype(dtype))
        out = Guarded((size,), dtype)
        y = ops.relu(x.array, out=out.array)
        assert y is out.array
        assert_equal(y, reference.relu(x.array), f"{size} elements")
        out.assert_guards_intact()
        out = Guarded((size,), dtype)
        dx = ops.relu_gradient(grad.array, x.array, out=out.array)
        assert_equal(dx, reference.relu_gradient(grad.array, x.array), f"{size} elements")
        out.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_of_any_rank_and_layout(dtype: type) -> None:
    most_axes = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
    x = reals(0, 3, 4, 5, 6).astype(dtype)
    many_axes = x.reshape(*[1] * (most_axes - 1), -1)
    for view in (x, x[0, 0, 0, 0], x[:, ::2, ::-1], x.T, x[:0], x[..., :0], many_axes):
        assert_equal(ops.relu(view), reference.relu(view))
        assert_equal(ops.relu_gradient(view, view), reference.relu_gradient(view, view))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_operations_in_place_equal_those_into_new_memory(dtype: type) -> None:
    functions: dict[str, Any] = {
        "relu": ops.relu,
        "relu_gradient": lambda x, out: ops.relu_gradient(x, x, out=out),
        "softmax": ops.softmax,
        "log_softmax": ops.log_softmax,
        "dropout": lambda x, out: ops.dropout(x, 0.4, seed=3, out=out),
    }
    for name, function in functions.items():
        x = reals(0, 7, 37).astype(dtype)
        expected = function(x, out=None)
        assert function(x, out=x) is x
        assert_same_bits(x, expected, name)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_thread_count(dtype: type) -> None:
    x = reals(0, LARGE // 10, 10).astype(dtype)
    grad = reals(1, *x.shape).astype(dtype)
    labels = np.arange(len(x)) % 10

    def everything(count: int) -> tuple[np.ndarray, ...]:
        return (
            ops.relu(x, num_threads=count),
            ops.relu_gradient(grad, x, num_threads=count),
            ops.softmax(x, num_threads=count),
            ops.log_softmax(x, num_threads=count),
            *ops.softmax_cross_entropy(x, labels, num_threads=count),
            *ops.softmax_cross_entropy(x, abs(grad), num_threads=count),
            ops.dropout(x, 0.3, seed=11, num_threads=count),
        )

    serial, *others = map(everything, (1, 2, 3, 2))
    for results in others:
        for array, wanted in zip(results, serial, strict=True):
            assert_same_bits(array, wanted)


def softmax_roundings(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relative error of exp(x_i - max) / sum, and of the sum, in units of the roundoff u.

    The difference d_i = x_i - max is rounded once, which changes exp(d_i) by |d_i| u; the function
    exp itself is taken to be within 2 units in the last place, 4 u. The sum has the errors of its
    terms, weighted by p_i = exp(d_i) / sum, and C - 1 additions; the quotient is rounded once, or
    twice when it is a product with the reciprocal.
    """
    d = abs(x - x.max(axis=-1, keepdims=True))
    p = np.exp(reference.log_softmax(x))
    in_sum = (p * d).sum(axis=-1, keepdims=True) + 4 + x.shape[-1]
    return d + 4 + in_sum + 2, in_sum


def log_softmax_error(x: np.ndarray, dtype: type) -> np.ndarray:
    """Absolute error of d_i - log(sum), d_i = x_i - max.

    One rounding of d_i; the relative error of the sum becomes an absolute one; log is taken to be
    within 2 units in the last place; one rounding of the result.
    """
    result = abs(reference.log_softmax(x))
    d = abs(x - x.max(axis=-1, keepdims=True))
    _, in_sum = softmax_roundings(x)
    log_sum = result + d
    return gamma(1, dtype) * (d + in_sum + 4 * log_sum + result) * (1 + unit_roundoff(np.float32))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", ROWS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_is_within_the_bound(dtype: type, shape: tuple[int, ...], scale: float) -> None:
    x = (reals(0, *shape) * scale).astype(np.float32).astype(np.float64)
    exact = 2 if dtype == np.float64 else 1
    smallest = np.finfo(dtype).tiny
    out = Guarded(shape, dtype)
    y = ops.softmax(guarded_copy(x.astype(dtype)).array, out=out.array)
    expected = reference.softmax(x)
    roundings = softmax_roundings(x)[0]
    # Results in the range of denormal numbers have an absolute error instead.
    error = exact * roundings * gamma(1, dtype) * (1 + roundings * 1e-6) * expected + smallest
    assert y is out.array
    assert (abs(y - expected) <= error).all()
    out.assert_guards_intact()

    out = Guarded(shape, dtype)
    y = ops.log_softmax(guarded_copy(x.astype(dtype)).array, out=out.array)
    assert (abs(y - reference.log_softmax(x)) <= exact * log_softmax_error(x, dtype)).all()
    out.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_does_not_change_when_all_logits_move(dtype: type) -> None:
    # Multiples of 1/8 below 2**14 move by whole numbers without rounding in float32.
    x = (np.random.default_rng(0).integers(-40, 41, (9, 10)) / 8).astype(dtype)
    labels = np.arange(9)
    for shift in (-8000, -100, 100, 8000):
        moved = x + dtype(shift)
        assert_equal(ops.softmax(moved), ops.softmax(x), f"shift {shift}")
        assert_equal(ops.log_softmax(moved), ops.log_softmax(x), f"shift {shift}")
        for array, wanted in zip(
            ops.softmax_cross_entropy(moved, labels),
            ops.softmax_cross_entropy(x, labels),
            strict=True,
        ):
            assert_equal(array, wanted, f"shift {shift}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("label_kind", ["int64", "uint8", "one_hot", "weights"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [shape for shape in ROWS if len(shape) == 2], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_is_within_the_bound(
    dtype: type, shape: tuple[int, int], scale: float, label_kind: str
) -> None:
    samples, classes = shape
    x = (reals(0, *shape) * scale).astype(np.float32).astype(np.float64)
    numbers = np.arange(samples) * 7 % classes % 256
    targets = np.eye(classes)[numbers] if label_kind != "weights" else abs(reals(1, *shape))
    labels = (
        targets.astype(dtype)
        if label_kind in ("one_hot", "weights")
        else numbers.astype(label_kind)
    )
    out = Guarded((samples,), dtype), Guarded(shape, dtype)
    results = ops.softmax_cross_entropy(
        guarded_copy(x.astype(dtype)).array,
        guarded_copy(labels).array,
        out=(out[0].array, out[1].array),
    )
    assert results[0] is out[0].array
    assert results[1] is out[1].array
    expected_loss, expected_grad = reference.softmax_cross_entropy(x, targets)
    exact = 2 if dtype == np.float64 else 1
    smallest = np.finfo(dtype).tiny

    terms = targets * abs(reference.log_softmax(x))
    # A dot product of the weights with logarithms that have the error above.
    loss_error = (targets * log_softmax_error(x, dtype)).sum(axis=1) * 1.001
    loss_error += gamma(classes + 2, dtype) * terms.sum(axis=1)
    assert (abs(results[0] - expected_loss) <= exact * loss_error + smallest).all()

    total, p = targets.sum(axis=1, keepdims=True), reference.softmax(x)
    roundings = softmax_roundings(x)[0] + classes + 1
    grad_error = roundings * gamma(1, dtype) * (1 + roundings * 1e-6) * p * total
    grad_error += gamma(1, dtype) * abs(expected_grad) * 1.001
    assert (abs(results[1] - expected_grad) <= exact * grad_error + smallest * (1 + total)).all()
    for guarded in out:
        guarded.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_nan_and_infinities(dtype: type) -> None:
    for classes in (1, 2, 5, 16, 33):
        for special in (np.nan, np.inf, -np.inf):
            for place in {0, classes // 2, classes - 1}:
                x = reals(0, 3, classes).astype(dtype)
                x[1, place] = special
                expected = reference.softmax(x)
                for y in (ops.softmax(x), ops.log_softmax(x)):
                    assert_equal(np.isnan(y), np.isnan(expected), f"{special} of {classes}")
                assert_equal(ops.softmax(x) == 0, expected == 0, f"{special} of {classes}")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_class_without_weight_may_be_impossible(dtype: type) -> None:
    x = np.array([[0.0, -np.inf, 0.0], [1.0, 1.0, -np.inf]], dtype)
    numbers = np.array([0, 1])
    for labels in (numbers, np.eye(3, dtype=dtype)[numbers]):
        loss, grad = ops.softmax_cross_entropy(x, labels)
        np.testing.assert_allclose(loss, np.log([2.0, 2.0]), rtol=2 * np.finfo(dtype).eps)
        assert_equal(grad, np.array([[-0.5, 0, 0.5], [0.5, -0.5, 0]], dtype))


@pytest.mark.usefixtures("isa")
# The fifth is the first word of seed 0 as a part of 2**32: it decides between >= and >.
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 1 / 3, 0x6627E8D5 / 2**32, 1 - 2**-40, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_equals_the_reference_bit_for_bit(dtype: type, rate: float) -> None:
    for size in (*range(10), 63, 64, 65, 255, 256, 257, 1000):
        x = guarded_copy(reals(0, size).astype(dtype))
        out = Guarded((size,), dtype)
        for seed, offset in ((0, 0), (2**64 - 1, 2**32 - 2), (2**33 + 5, 2**64 - 2)):
            y = ops.dropout(x.array, rate, seed=seed, offset=offset, out=out.array)
            expected = reference.dropout(x.array, rate, seed=seed, offset=offset)
            assert_equal(y, expected, f"{size} elements, seed {seed}, offset {offset}")
        out.assert_guards_intact()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_of_a_large_array_equals_the_reference(dtype: type, num_threads: int) -> None:
    x = reals(0, 13, LARGE // 39, 3).astype(dtype)
    y = ops.dropout(x, 0.3, seed=5, offset=2**32 - 1000, num_threads=num_threads)
    assert_equal(y, reference.dropout(x, 0.3, seed=5, offset=2**32 - 1000))


@pytest.mark.usefixtures("isa")
def test_dropout_zeroes_nan_where_it_drops() -> None:
    x = np.full(64, np.nan, np.float32)
    y = ops.dropout(x, 0.5, seed=0)
    kept = reference.dropout(np.ones(64, np.float32), 0.5, seed=0) > 0
    assert_equal(np.isnan(y), kept)
    assert (y[~kept] == 0).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_of_dropout_give_its_gradient(dtype: type, num_threads: int) -> None:
    for size in (*range(10), 31, 32, 33, 63, 64, 65, 255, 1000, LARGE):
        x = reals(0, size).astype(dtype)
        y, kept = np.empty_like(x), Guarded(((size + 7) // 8,), np.uint8)
        _core.dropout(x, y, kept.array, 0.3, 5, 2**32 - 3, num_threads)
        kept.assert_guards_intact()
        assert_equal(y, ops.dropout(x, 0.3, seed=5, offset=2**32 - 3))
        wanted = reference.dropout(np.ones(size), 0.3, seed=5, offset=2**32 - 3) != 0
        assert_equal(kept.array, np.packbits(wanted, bitorder="little"))
        grad = guarded_copy(reals(1, size).astype(dtype))
        expected = reference.dropout(grad.array, 0.3, seed=5, offset=2**32 - 3)
        dx = Guarded((size,), dtype)
        _core.dropout_gradient(grad.array, kept.array, dx.array, 0.3, num_threads)
        dx.assert_guards_intact()
        assert_same_bits(dx.array, expected)
        _core.dropout_gradient(grad.array, kept.array, grad.array, 0.3, num_threads)
        assert_same_bits(grad.array, expected)
