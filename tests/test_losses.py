"""Losses: values by their formulas in float64, gradients by central differences, targets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastconv import losses, ops
from fastconv.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from support.arrays import assert_same_bits

Array = np.ndarray[Any, np.dtype[Any]]
LABELS = np.array([2, 0, 1, 2])
ONE_HOT = np.eye(3)[LABELS]
WEIGHTED = np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0, 0], [0.5, 0.5, 1.0]])


def probabilities(*shape: int) -> Array:
    """Positive, but rows do not sum to 1: the loss has to see to that."""
    return np.random.default_rng(1).uniform(0.1, 1, shape)


def logits(*shape: int) -> Array:
    return np.random.default_rng(2).normal(0, 3, shape)


def cross_entropy(targets: Array, shares: Array) -> Array:
    clipped = np.clip(shares / shares.sum(axis=-1, keepdims=True), 1e-7, 1 - 1e-7)
    return -np.sum(targets * np.log(clipped), axis=-1)


def softmax(x: Array) -> Array:
    exponentials = np.exp(x)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


BITS = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0]])


def bit_entropy(bits: Array, shares: Array) -> Array:
    terms = [
        t * math.log(p) + (1 - t) * math.log(1 - p)
        for t, p in zip(bits.ravel(), shares.ravel(), strict=True)
    ]
    return -np.reshape(terms, bits.shape).mean(axis=-1)


def huber(errors: Array, delta: float) -> Array:
    terms = [e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2) for e in errors.ravel()]
    return np.reshape(terms, errors.shape).mean(axis=-1)


CASES: dict[str, tuple[Loss, Array, Array, Array]] = {
    "sparse": (
        SparseCategoricalCrossentropy(),
        LABELS,
        probabilities(4, 3),
        cross_entropy(ONE_HOT, probabilities(4, 3)),
    ),
    "sparse logits": (
        SparseCategoricalCrossentropy(from_logits=True),
        LABELS,
        logits(4, 3),
        cross_entropy(ONE_HOT, softmax(logits(4, 3))),
    ),
    "categorical": (
        CategoricalCrossentropy(),
        WEIGHTED,
        probabilities(4, 3),
        cross_entropy(WEIGHTED, probabilities(4, 3)),
    ),
    "categorical logits": (
        CategoricalCrossentropy(from_logits=True),
        WEIGHTED,
        logits(4, 3),
        cross_entropy(WEIGHTED, softmax(logits(4, 3))),
    ),
    "sparse pixels": (
        SparseCategoricalCrossentropy(),
        LABELS.reshape(2, 2),
        probabilities(2, 2, 3),
        cross_entropy(ONE_HOT.reshape(2, 2, 3), probabilities(2, 2, 3)),
    ),
    "sparse pixels, logits": (
        SparseCategoricalCrossentropy(from_logits=True),
        LABELS.reshape(2, 2),
        logits(2, 2, 3),
        cross_entropy(ONE_HOT.reshape(2, 2, 3), softmax(logits(2, 2, 3))),
    ),
    "categorical pixels, logits": (
        CategoricalCrossentropy(from_logits=True),
        WEIGHTED.reshape(2, 2, 3),
        logits(2, 2, 3),
        cross_entropy(WEIGHTED.reshape(2, 2, 3), softmax(logits(2, 2, 3))),
    ),
    "squares": (
        MeanSquaredError(),
        WEIGHTED,
        logits(4, 3),
        np.mean((WEIGHTED - logits(4, 3)) ** 2, axis=-1),
    ),
    "absolute values": (
        MeanAbsoluteError(),
        WEIGHTED,
        logits(4, 3),
        np.mean(np.abs(WEIGHTED - logits(4, 3)), axis=-1),
    ),
    "huber": (Huber(), WEIGHTED, logits(4, 3), huber(WEIGHTED - logits(4, 3), 1.0)),
    "huber 2.5": (Huber(2.5), WEIGHTED, logits(4, 3), huber(WEIGHTED - logits(4, 3), 2.5)),
    "bits": (
        BinaryCrossentropy(),
        BITS,
        0.9 * probabilities(4, 3),
        bit_entropy(BITS, 0.9 * probabilities(4, 3)),
    ),
    "bits, logits": (
        BinaryCrossentropy(from_logits=True),
        BITS,
        logits(4, 3),
        bit_entropy(BITS, 1 / (1 + np.exp(-logits(4, 3)))),
    ),
    "smooth bits": (
        BinaryCrossentropy(label_smoothing=0.25),
        BITS,
        0.9 * probabilities(4, 3),
        bit_entropy(0.75 * BITS + 0.125, 0.9 * probabilities(4, 3)),
    ),
    "smooth bits, logits": (
        BinaryCrossentropy(True, 0.25),
        BITS,
        logits(4, 3),
        bit_entropy(0.75 * BITS + 0.125, 1 / (1 + np.exp(-logits(4, 3)))),
    ),
    "smooth categorical": (
        CategoricalCrossentropy(label_smoothing=0.25),
        ONE_HOT,
        probabilities(4, 3),
        cross_entropy(0.75 * ONE_HOT + 0.25 / 3, probabilities(4, 3)),
    ),
    "smooth categorical logits": (
        CategoricalCrossentropy(True, 0.25),
        ONE_HOT,
        logits(4, 3),
        cross_entropy(0.75 * ONE_HOT + 0.25 / 3, softmax(logits(4, 3))),
    ),
}


def prepared(loss: Loss, y_true: Array, y_pred: Array) -> Array:
    targets = loss.prepare(y_true, y_pred.shape)
    return targets.astype(np.float64) if targets.dtype == np.float32 else targets


@pytest.mark.parametrize(("loss", "y_true", "y_pred", "expected"), CASES.values(), ids=CASES)
def test_values(loss: Loss, y_true: Array, y_pred: Array, expected: Array) -> None:
    values, _ = loss.values_and_gradient(prepared(loss, y_true, y_pred), y_pred)
    # Targets go through float32: an error of 2^-24 of each, on losses below 20.
    np.testing.assert_allclose(values, expected, atol=20 * 2.0**-24)
    # A call computes in float32: about ten roundings of numbers below 20.
    assert loss(y_true, y_pred) == pytest.approx(expected.mean(), abs=200 * 2.0**-24)


@pytest.mark.parametrize(("loss", "y_true", "y_pred", "expected"), CASES.values(), ids=CASES)
def test_gradients(loss: Loss, y_true: Array, y_pred: Array, expected: Array) -> None:
    targets = prepared(loss, y_true, y_pred)
    _, gradient = loss.values_and_gradient(targets, y_pred)
    assert gradient.shape == y_pred.shape
    step = 1e-6
    for index in np.ndindex(y_pred.shape):
        difference = 0.0
        for sign in (1, -1):
            moved = y_pred.copy()
            moved[index] += sign * step
            difference += sign * loss.values_and_gradient(targets, moved)[0].sum()
        # Third derivatives below 2 / 0.1^3 give 1e-12 * 2000 / 6; rounding 1e-15 * 20 / 1e-6.
        assert gradient[index] == pytest.approx(difference / (2 * step), abs=1e-7)
    assert expected.shape == y_pred.shape[:-1]


def test_example_of_the_documentation() -> None:
    loss = SparseCategoricalCrossentropy(reduction="none")
    values = loss([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]])
    np.testing.assert_allclose(values, [-np.log(0.95), -np.log(0.1)], rtol=1e-6)


def test_clipping() -> None:
    loss = SparseCategoricalCrossentropy(reduction="none")
    y_pred = np.array([[1.0, 0.0], [1.0, 0.0]])
    # 1 - 1e-7 is rounded to a multiple of 2^-24.
    expected = [1e-7, -np.log(1e-7)]
    np.testing.assert_allclose(loss([0, 1], y_pred), expected, rtol=1e-6, atol=2.0**-24)
    _, gradient = loss.values_and_gradient(np.array([0, 1]), y_pred)
    assert gradient.tolist() == [[0, 0], [0, 0]]


def test_softmax_and_loss_in_one_differ_from_two_by_the_clipping_alone() -> None:
    loss = SparseCategoricalCrossentropy()
    x = np.array([[0.0, 3.0, -2.0], [0.0, 40.0, 0.0]])
    labels = np.array([2, 0])
    through_logits, _ = loss.values_and_gradient_from_logits(labels, x)
    through_shares, _ = loss.values_and_gradient(labels, ops.softmax(x))
    assert through_logits[0] == pytest.approx(through_shares[0], rel=1e-12)
    assert through_shares[1] == pytest.approx(-np.log(1e-7))
    assert through_logits[1] == pytest.approx(40.0)


def test_bits_that_are_certain() -> None:
    loss = BinaryCrossentropy(reduction="none")
    y_true, y_pred = np.array([[1.0], [0.0]]), np.array([[0.0], [0.0]])
    np.testing.assert_allclose(loss(y_true, y_pred), [-np.log(1e-7), 1e-7], atol=2.0**-23)
    _, gradient = loss.values_and_gradient(y_true, y_pred)
    assert gradient.tolist() == [[0], [0]]
    # From logits nothing is clipped.
    values = BinaryCrossentropy(True, reduction="none")([[1], [0]], [[-200.0], [-200.0]])
    assert values.tolist() == [200, 0]


REDUCTIONS = {
    # Values 4 and 9; with the weights 3 and 1 they are 12 and 9.
    "sum_over_batch_size": (6.5, 10.5),
    "mean": (6.5, 10.5),
    "mean_with_sample_weight": (6.5, 5.25),
    "sum": (13.0, 21.0),
    "none": ([4, 9], [12, 9]),
    None: ([4, 9], [12, 9]),
}


@pytest.mark.parametrize(("reduction", "expected"), REDUCTIONS.items())
@pytest.mark.parametrize("weights", [[3, 1], [[3], [1]]])
def test_reductions(reduction: str | None, expected: tuple[Any, Any], weights: Any) -> None:
    loss = MeanSquaredError(reduction=reduction)
    plain = loss([[1.0], [2.0]], [[3.0], [5.0]])
    weighted = loss([[1.0], [2.0]], [[3.0], [5.0]], sample_weight=weights)
    for result, figure in zip((plain, weighted), expected, strict=True):
        assert (result if isinstance(result, float) else result.tolist()) == figure


def test_weights_of_samples_and_of_pixels() -> None:
    y_true, y_pred = np.zeros((2, 3, 1)), np.arange(6.0).reshape(2, 3, 1)
    loss = MeanAbsoluteError(reduction="sum")
    assert loss(y_true, y_pred, sample_weight=[1, 10]) == 0 + 1 + 2 + 30 + 40 + 50
    assert loss(y_true, y_pred, sample_weight=[[0, 0, 1], [0, 10, 0]]) == 2 + 40
    assert MeanAbsoluteError("mean_with_sample_weight")(y_true, y_pred, [0, 0]) == 0
    for weights in ([1, 2, 3], [[1, 2], [3, 4]], 1.0, np.ones((2, 3, 2))):
        with pytest.raises(ValueError, match="sample_weight must have one weight a sample"):
            loss(y_true, y_pred, sample_weight=weights)


@pytest.mark.parametrize(
    ("y_true", "y_pred"), [([1, 2], [[1], [2]]), ([[1], [2]], [[1], [2]]), ([[1], [2]], [1, 2])]
)
def test_missing_last_axis_of_targets(y_true: Any, y_pred: Any) -> None:
    assert MeanSquaredError()(y_true, y_pred) == 0


def test_labels_are_prepared_as_int64() -> None:
    loss = SparseCategoricalCrossentropy()
    for labels in (LABELS, LABELS[:, None], LABELS.astype(np.uint8), LABELS.astype(np.float32)):
        assert_same_bits(loss.prepare(labels, (4, 3)), LABELS)
    assert loss.prepare(np.zeros((0,), int), (None, 3)).shape == (0,)


@pytest.mark.parametrize(
    ("loss", "y_true", "message"),
    [
        (SparseCategoricalCrossentropy(), [0, 3], "received 0 .. 3"),
        (SparseCategoricalCrossentropy(), [-1, 0], "0 <= label < 3, received -1 .. 0"),
        (SparseCategoricalCrossentropy(), [[0, 1], [1, 0]], "y_true does not fit the output"),
        (SparseCategoricalCrossentropy(), np.eye(3)[:2], "one-hot targets: categorical_cross"),
        (CategoricalCrossentropy(), [0, 1], "integer labels: sparse_categorical_crossentropy"),
        (CategoricalCrossentropy(), np.eye(2), r"expected shape \(2, 3\), received \(2, 2\)"),
        (MeanSquaredError(), [1, 2], r"expected shape \(2, 3\), received \(2,\)"),
        (MeanSquaredError(), np.zeros((4, 3)), "y_true must have as many samples as y_pred"),
    ],
)
def test_targets_that_do_not_fit(loss: Loss, y_true: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(y_true, np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("y_true", [[0.5, 1.0], ["a", "b"], [None, None], [np.nan, 0.0], [1j, 0]])
def test_targets_of_the_wrong_type(y_true: Any) -> None:
    with pytest.raises(TypeError, match="sparse_categorical_crossentropy: y_true must"):
        SparseCategoricalCrossentropy()(y_true, np.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sparse_categorical_crossentropy", SparseCategoricalCrossentropy),
        ("SparseCategoricalCrossentropy", SparseCategoricalCrossentropy),
        ("categorical_crossentropy", CategoricalCrossentropy),
        ("mean_squared_error", MeanSquaredError),
        ("mse", MeanSquaredError),
        ("mae", MeanAbsoluteError),
        ("MeanAbsoluteError", MeanAbsoluteError),
        ("huber", Huber),
        ("binary_crossentropy", BinaryCrossentropy),
        (MeanSquaredError, MeanSquaredError),
        (losses.binary_crossentropy, BinaryCrossentropy),
        (losses.sparse_categorical_crossentropy, SparseCategoricalCrossentropy),
    ],
)
def test_get(name: Any, kind: type[Loss]) -> None:
    assert type(losses.get(name)) is kind


def test_names() -> None:
    assert SparseCategoricalCrossentropy().name == "sparse_categorical_crossentropy"
    assert CategoricalCrossentropy(name="mine").name == "mine"
    with pytest.raises(ValueError, match="reduction is not known"):
        MeanSquaredError(reduction="median")
    with pytest.raises(ValueError, match="y_pred must have axes"):
        MeanSquaredError()(1.0, 1.0)


def test_functions_give_one_value_a_sample() -> None:
    zeros, ones = np.zeros((3, 2)), np.ones((3, 2))
    assert losses.mean_squared_error(zeros, 3 * ones).tolist() == [9, 9, 9]
    assert losses.mean_absolute_error(zeros, 3 * ones).tolist() == [3, 3, 3]
    assert losses.huber(zeros, 3 * ones, delta=2.0).tolist() == [4, 4, 4]
    expected = np.full(3, np.log(2))
    for values in (
        losses.binary_crossentropy(zeros, ones / 2),
        losses.binary_crossentropy(zeros, zeros, from_logits=True, label_smoothing=0.5),
        losses.categorical_crossentropy(np.eye(2)[[0, 1, 0]], ones),
        losses.sparse_categorical_crossentropy([0, 1, 0], zeros, from_logits=True),
    ):
        np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        MeanSquaredError(reduction="sum"),
        MeanAbsoluteError(name="mine"),
        Huber(2.0),
        BinaryCrossentropy(True, 0.25),
        CategoricalCrossentropy(True, 0.25, reduction="none"),
        SparseCategoricalCrossentropy(True),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_configurations(loss: Loss) -> None:
    config = loss.get_config()
    again = type(loss).from_config(config)
    assert vars(again) == vars(loss)
    with pytest.raises(ValueError, match=r"axis is not supported, .* received axis=1"):
        type(loss).from_config({**config, "axis": 1})


def test_arguments_out_of_range() -> None:
    for kind in (BinaryCrossentropy, CategoricalCrossentropy):
        with pytest.raises(ValueError, match="label_smoothing is out of range, expected 0 <= lab"):
            kind(label_smoothing=1.5)
    with pytest.raises(ValueError, match="Huber: delta must be positive, expected > 0, receive"):
        Huber(delta=0)
