"""Losses and metrics beside Keras 3, on the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastconv
from support.beside_keras import IGNORED_WARNINGS, keras

pytestmark = IGNORED_WARNINGS

Array = np.ndarray[Any, np.dtype[Any]]
GENERATOR = np.random.default_rng(1)
CLASSES = 7
TOLERANCE = 2e-6
"""Relative. Both sides compute in float32 and sum up to 40 terms in another order: sqrt(40) * 2^-24
of the result, which is as large as its terms, and as much again for exponentials and logarithms."""


def shares(*shape: int) -> Array:
    """Probabilities that sum to 1 over the last axis."""
    scores = GENERATOR.random(shape) ** 2 + 0.01
    return (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)


LABELS = GENERATOR.integers(0, CLASSES, 12)
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
BITS = GENERATOR.integers(0, 2, (12, CLASSES)).astype(np.float32)
NUMBERS = GENERATOR.normal(0, 2, (12, CLASSES)).astype(np.float32)
SHARES = shares(12, CLASSES)
WEIGHTS = GENERATOR.integers(0, 4, 12).astype(np.float32)

LOSSES: dict[str, tuple[str, dict[str, Any], Array, Array]] = {
    "squares": ("MeanSquaredError", {}, SHARES, NUMBERS),
    "absolute": ("MeanAbsoluteError", {}, SHARES, NUMBERS),
    "huber": ("Huber", {}, SHARES, NUMBERS),
    "huber 2": ("Huber", {"delta": 2.0}, SHARES, NUMBERS),
    "bits": ("BinaryCrossentropy", {}, BITS, SHARES),
    "bits, logits": ("BinaryCrossentropy", {"from_logits": True}, BITS, NUMBERS),
    "smooth bits": ("BinaryCrossentropy", {"label_smoothing": 0.2}, BITS, SHARES),
    "classes": ("CategoricalCrossentropy", {}, ONE_HOT, SHARES),
    "classes, logits": ("CategoricalCrossentropy", {"from_logits": True}, ONE_HOT, NUMBERS),
    "smooth classes": ("CategoricalCrossentropy", {"label_smoothing": 0.2}, ONE_HOT, SHARES),
    "smooth classes, logits": (
        "CategoricalCrossentropy",
        {"label_smoothing": 0.2, "from_logits": True},
        ONE_HOT,
        NUMBERS,
    ),
    "labels": ("SparseCategoricalCrossentropy", {}, LABELS, SHARES),
    "labels, logits": ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, NUMBERS),
}
REDUCTIONS = ["sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", None]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize(("name", "options", "y_true", "y_pred"), LOSSES.values(), ids=LOSSES)
def test_losses(
    name: str,
    options: dict[str, Any],
    y_true: Array,
    y_pred: Array,
    reduction: str | None,
    weights: Array | None,
) -> None:
    ours, theirs = (
        getattr(package.losses, name)(**options, reduction=reduction)(
            y_true, y_pred, sample_weight=weights
        )
        for package in (fastconv, keras)
    )
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "options", "y_true", "y_pred"), LOSSES.values(), ids=LOSSES)
def test_gradients_of_losses(
    name: str, options: dict[str, Any], y_true: Array, y_pred: Array
) -> None:
    jax = pytest.importorskip("jax", reason="differentiates Keras' losses with JAX")
    if keras.backend.backend() != "jax":
        pytest.skip("differentiates Keras' losses with JAX")
    theirs = jax.grad(getattr(keras.losses, name)(**options, reduction="sum"), argnums=1)(
        y_true.astype(np.float32), y_pred
    )
    loss = getattr(fastconv.losses, name)(**options)
    targets = loss.prepare(y_true, y_pred.shape)
    _, ours = loss.values_and_gradient(targets, y_pred)
    size = np.abs(ours).max()
    assert size > 0.01
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=0, atol=10 * TOLERANCE * size)


# --- metrics ------------------------------------------------------------------------------------

METRICS: dict[str, tuple[str, dict[str, Any], str]] = {
    "accuracy": ("Accuracy", {}, "labels of labels"),
    "binary": ("BinaryAccuracy", {}, "bits"),
    "binary 0.2": ("BinaryAccuracy", {"threshold": 0.2}, "bits"),
    "categorical": ("CategoricalAccuracy", {}, "one-hot"),
    "sparse": ("SparseCategoricalAccuracy", {}, "labels"),
    "top 2": ("TopKCategoricalAccuracy", {"k": 2}, "one-hot"),
    "top 5": ("TopKCategoricalAccuracy", {}, "one-hot"),
    "sparse top 3": ("SparseTopKCategoricalAccuracy", {"k": 3}, "labels"),
    "precision": ("Precision", {}, "one-hot"),
    "precision at several": ("Precision", {"thresholds": [0.1, 0.3]}, "one-hot"),
    "precision of the top 2": ("Precision", {"top_k": 2}, "one-hot"),
    "precision of a class": ("Precision", {"class_id": 3, "thresholds": 0.2}, "one-hot"),
    "recall": ("Recall", {}, "one-hot"),
    "recall of bits": ("Recall", {"thresholds": 0.1}, "bits"),
    "recall of the top 2": ("Recall", {"top_k": 2, "thresholds": 0.2}, "one-hot"),
    "squares": ("MeanSquaredError", {}, "bits"),
    "absolute": ("MeanAbsoluteError", {}, "bits"),
    "auc": ("AUC", {}, "bits"),
    "auc of few": ("AUC", {"num_thresholds": 5}, "bits"),
    "auc minoring": ("AUC", {"summation_method": "minoring"}, "one-hot"),
    "auc majoring": ("AUC", {"summation_method": "majoring"}, "one-hot"),
    "auc pr": ("AUC", {"curve": "PR"}, "bits"),
    "auc pr majoring": ("AUC", {"curve": "PR", "summation_method": "majoring"}, "bits"),
    "auc at thresholds": ("AUC", {"thresholds": [0.1, 0.15, 0.6]}, "bits"),
    "auc of labels": ("AUC", {"multi_label": True}, "bits"),
    "auc of weighted labels": (
        "AUC",
        {"multi_label": True, "label_weights": [1.0, 2, 0, 1, 3, 1, 1]},
        "bits",
    ),
    "auc with weights": ("AUC", {"label_weights": [1.0, 2, 0, 1, 3, 1, 1]}, "bits"),
    "auc from logits": ("AUC", {"from_logits": True}, "logits"),
}


def metric_batches(kind: str) -> Iterator[tuple[Array, Array, Array]]:
    generator = np.random.default_rng(5)
    for size in (11, 11, 4):
        labels = generator.integers(0, CLASSES, size)
        scores = generator.random((size, CLASSES)) ** 6
        y_pred = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        y_true: Array = labels
        if kind == "labels of labels":
            y_pred = generator.integers(0, CLASSES, size)
        elif kind == "one-hot":
            y_true = np.eye(CLASSES)[labels]
        elif kind in ("bits", "logits"):
            y_true = generator.integers(0, 2, (size, CLASSES)).astype(np.float32)
        if kind == "logits":
            y_pred = generator.normal(0, 2, (size, CLASSES)).astype(np.float32)
        yield y_true, y_pred, generator.integers(0, 4, size).astype(np.float32)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "options", "kind"), METRICS.values(), ids=METRICS)
def test_metrics(name: str, options: dict[str, Any], kind: str, weighted: bool) -> None:
    ours, theirs = (getattr(package.metrics, name)(**options) for package in (fastconv, keras))
    for y_true, y_pred, weights in metric_batches(kind):
        for metric in (ours, theirs):
            metric.update_state(y_true, y_pred, sample_weight=weights if weighted else None)
        expected = np.asarray(theirs.result())
        np.testing.assert_allclose(ours.result(), expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert 0 < np.mean(ours.result()) < 10


@pytest.mark.parametrize("name", ["Precision", "Recall"])
def test_labels_of_classes_are_refused_by_both(name: str) -> None:
    for package in (fastconv, keras):
        with pytest.raises((ValueError, TypeError)):
            getattr(package.metrics, name)().update_state(LABELS, SHARES)
