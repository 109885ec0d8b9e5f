"""Metrics: running means, and which accuracy "accuracy" is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers, metrics
from fastconv.metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    Mean,
    MeanMetricWrapper,
    Metric,
    SparseCategoricalAccuracy,
)

SCORES = np.float32([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])


@pytest.mark.parametrize(
    ("metric", "y_true", "y_pred", "expected", "weighted"),
    [
        # The examples of Keras' documentation, weights 0, 0, 1, 3 in the last column.
        (Accuracy(), [1, 2, 3, 4], [0, 2, 3, 4], 0.75, 1.0),
        (BinaryAccuracy(), [[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]], 0.75, 0.25),
        (SparseCategoricalAccuracy(), [1, 0, 0, 1], SCORES, 0.75, 0.75),
        (SparseCategoricalAccuracy(), [[1], [0], [0], [1]], SCORES, 0.75, 0.75),
        (CategoricalAccuracy(), np.eye(2)[[1, 0, 0, 1]], SCORES, 0.75, 0.75),
        (Mean(), [1, 3, 5, 7], None, 4.0, 6.5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Metric) else "",
)
def test_results(
    metric: Metric, y_true: Any, y_pred: Any, expected: float, weighted: float
) -> None:
    batch = [np.asarray(a) for a in (y_true, y_pred) if a is not None]
    assert metric.result() == 0
    metric.update_state(*batch)
    assert metric.result() == expected
    metric.reset_state()
    assert metric.result() == 0
    for index in range(4):
        metric.update_state(*[array[index : index + 1] for array in batch])
    assert metric.result() == expected
    metric.reset_state()
    metric.update_state(*batch, sample_weight=[0, 0, 1, 3])
    assert metric.result() == weighted


def test_binary_threshold() -> None:
    metric = BinaryAccuracy(threshold=0.7)
    assert metric([1, 0, 1, 0], [0.8, 0.6, 0.6, 0.9]) == 0.5


def test_binary_accuracy_of_labels_without_an_axis() -> None:
    assert BinaryAccuracy()(np.array([1, 0, 1]), np.array([[0.9], [0.1], [0.2]])) == 2 / 3


@pytest.mark.parametrize(
    ("targets", "output", "kind"),
    [
        ((None,), (None, 10), SparseCategoricalAccuracy),
        ((None, 1), (None, 10), SparseCategoricalAccuracy),
        ((None, 10), (None, 10), CategoricalAccuracy),
        ((None, 1), (None, 1), BinaryAccuracy),
        ((None,), (None, 1), BinaryAccuracy),
        ((None, 4, 4), (None, 4, 4, 3), SparseCategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_which_accuracy(name: str, targets: Any, output: Any, kind: type[Metric]) -> None:
    metric = metrics.get(name, targets, output)
    assert type(metric) is kind
    assert metric.name == name


def test_get() -> None:
    shapes = ((None,), (None, 3))
    metric = metrics.get("sparse_categorical_accuracy", *shapes)
    assert isinstance(metric, SparseCategoricalAccuracy)
    mine = Accuracy(name="mine")
    assert metrics.get(mine, *shapes) is mine
    assert isinstance(metrics.get(CategoricalAccuracy, *shapes), CategoricalAccuracy)
    assert isinstance(metrics.get(metrics.accuracy, *shapes), MeanMetricWrapper)
    with pytest.raises(ValueError, match=r"metrics\.get: identifier is not known"):
        metrics.get("accuracies", *shapes)
    with pytest.raises(TypeError, match=r"metrics\.get: identifier must be a metric"):
        metrics.get(3, *shapes)  # type: ignore[arg-type]


def test_metrics_of_a_model() -> None:
    def confidence(y_true: Any, y_pred: Any) -> Any:
        """Needs what comes after the softmax, and gets the whole batch."""
        assert len(y_true) == len(y_pred) == 5
        np.testing.assert_allclose(y_pred.sum(axis=1), 1, rtol=1e-6)
        return y_pred.max(axis=1)

    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["acc", confidence])
    assert model.metrics == []
    x, y = np.random.default_rng(1).normal(size=(5, 2)), np.array([0, 1, 2, 1, 0])
    figures = model.evaluate(x, y, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)
    assert list(figures) == ["loss", "acc", "confidence"]
    assert figures["acc"] == np.mean(p.argmax(axis=1) == y)
    assert figures["confidence"] == pytest.approx(p.max(axis=1).mean(), rel=1e-6)
    assert [metric.name for metric in model.metrics] == ["acc", "confidence"]
    model.reset_metrics()
    assert [metric.result() for metric in model.metrics] == [0, 0]
