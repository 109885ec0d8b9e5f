"""Precision, recall, the area under curves and top-k, over several batches, counted one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastconv import metrics
from fastconv.metrics import (
    AUC,
    Metric,
    Precision,
    Recall,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)

Array = np.ndarray[Any, np.dtype[Any]]
CLASSES = 4


def batches(seed: int = 1) -> list[tuple[Array, Array, Array]]:
    """One-hot targets, float32 probabilities and weights of batches of 7, 7 and 3 samples."""
    generator = np.random.default_rng(seed)
    made = []
    for size in (7, 7, 3):
        scores = generator.random((size, CLASSES)) ** 3
        shares = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        targets = np.eye(CLASSES)[generator.integers(0, CLASSES, size)]
        made.append((targets, shares, generator.integers(0, 4, size).astype(float)))
    return made


def entries(weighted: bool) -> Iterator[tuple[int, int, bool, float, float]]:
    """(number of the sample, class, positive, probability, weight) of every entry."""
    sample = 0
    for targets, shares, weights in batches():
        for target, share, weight in zip(targets, shares, weights, strict=True):
            for index in range(CLASSES):
                factor = weight if weighted else 1.0
                yield sample, index, target[index] == 1, float(share[index]), factor
            sample += 1


def counts(threshold: float, weighted: bool, chosen: Any = None) -> tuple[float, float, float]:
    """True positives, false positives and false negatives."""
    right = wrong = missed = 0.0
    for sample, index, positive, share, weight in entries(weighted):
        predicted = share > threshold and (chosen is None or chosen(sample, index))
        right += weight * (predicted and positive)
        wrong += weight * (predicted and not positive)
        missed += weight * (not predicted and positive)
    return right, wrong, missed


def fill(metric: Metric, weighted: bool) -> Any:
    for targets, shares, weights in batches():
        metric.update_state(targets, shares, sample_weight=weights if weighted else None)
    return metric.result()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("threshold", [None, 0.0, 0.25, 0.75, 1.0])
def test_precision_and_recall(threshold: float | None, weighted: bool) -> None:
    right, wrong, missed = counts(0.5 if threshold is None else threshold, weighted)
    precision = fill(Precision(thresholds=threshold), weighted)
    assert precision == pytest.approx(share_of(right, wrong), rel=1e-12)
    assert fill(Recall(threshold), weighted) == pytest.approx(share_of(right, missed), rel=1e-12)


def test_several_thresholds() -> None:
    thresholds = [0.2, 0.6]
    expected = [
        share_of(right, wrong) for right, wrong, _ in (counts(t, False) for t in (0.2, 0.6))
    ]
    metric = Precision(thresholds)
    np.testing.assert_allclose(fill(metric, False), expected, rtol=1e-12)
    metric.reset_state()
    assert metric.result().tolist() == [0, 0]


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_top_k_of_precision_and_recall(top_k: int) -> None:
    shares = np.concatenate([share for _, share, _ in batches()])

    def chosen(sample: int, index: int) -> bool:
        return bool(np.sum(shares[sample] > shares[sample, index]) < top_k)

    right, wrong, missed = counts(-1.0, True, chosen)
    metric = Precision(top_k=top_k)
    assert fill(metric, True) == pytest.approx(share_of(right, wrong), rel=1e-12)
    assert fill(Recall(top_k=top_k), True) == pytest.approx(share_of(right, missed), rel=1e-12)
    right, wrong, _ = counts(0.5, False, chosen)
    assert fill(Precision(0.5, top_k), False) == pytest.approx(share_of(right, wrong), rel=1e-12)


def test_ties_at_the_end_of_top_k_go_to_the_first() -> None:
    assert Precision(top_k=2)([0, 0, 1, 1], [1, 1, 1, 1]) == 0
    assert Precision(top_k=4)([0, 0, 1, 1], [1, 1, 1, 1]) == 0.5


def test_one_class() -> None:
    for index in range(CLASSES):
        right = wrong = missed = 0.0
        for _, entry, positive, share, weight in entries(weighted=True):
            if entry == index:
                right += weight * (share > 0.5 and positive)
                wrong += weight * (share > 0.5 and not positive)
                missed += weight * (share <= 0.5 and positive)
        precision = fill(Precision(class_id=index), True)
        recall = fill(Recall(class_id=index), True)
        assert precision == pytest.approx(share_of(right, wrong))
        assert recall == pytest.approx(share_of(right, missed))


def test_nothing_predicted_and_nothing_there_give_0() -> None:
    assert Precision().result() == 0
    assert Precision()([1, 1], [0.1, 0.2]) == 0
    assert Recall()([0, 0], [0.9, 0.8]) == 0


@pytest.mark.parametrize("kind", [Precision, Recall, AUC])
def test_labels_of_classes_are_refused(kind: type[Metric]) -> None:
    message = rf"{kind.__name__}: y_true must have the shape of y_pred .*utils.to_categorical.*"
    for labels in (np.array([1, 2, 3]), np.array([[1], [2], [3]])):
        with pytest.raises(ValueError, match=message + r"expected \(3, 4\), received \(3"):
            kind().update_state(labels, np.full((3, 4), 0.25))
    kind().update_state(np.array([1, 0, 1]), np.full((3, 1), 0.25))


def share_of(true: float, false: float) -> float:
    return true / (true + false) if true + false else 0.0


def area(
    curve: str, method: str, thresholds: list[float], data: list[tuple[bool, float, float]]
) -> float:
    """Counts for each threshold, then the area of each piece between two of them."""
    table = []
    for threshold in thresholds:
        true = sum(weight for positive, share, weight in data if positive and share > threshold)
        false = sum(
            weight for positive, share, weight in data if not positive and share > threshold
        )
        table.append((true, false))
    positives = sum(weight for positive, _, weight in data if positive)
    negatives = sum(weight for positive, _, weight in data if not positive)
    total = 0.0
    for (true_a, false_a), (true_b, false_b) in itertools.pairwise(table):
        if curve == "PR" and method == "interpolation":
            # The integral of precision over recall by 2,000 midpoints, counts growing linearly.
            steps = 2000
            for step in range(steps):
                part = (step + 0.5) / steps
                true = true_b + part * (true_a - true_b)
                false = false_b + part * (false_a - false_b)
                total += share_of(true, false) * (true_a - true_b) / positives / steps
            continue
        if curve == "ROC":
            width = (false_a - false_b) / negatives
            heights = true_a / positives, true_b / positives
        else:
            width = (true_a - true_b) / positives
            heights = share_of(true_a, false_a), share_of(true_b, false_b)
        side = {
            "interpolation": sum(heights) / 2,
            "minoring": min(heights),
            "majoring": max(heights),
        }
        total += width * side[method]
    return total


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
@pytest.mark.parametrize("thresholds", [None, [0.3, 0.1, 0.75]])
def test_area(curve: str, method: str, thresholds: list[float] | None, weighted: bool) -> None:
    metric = AUC(20, curve, method, thresholds=thresholds)
    inner = sorted(thresholds) if thresholds else [step / 19 for step in range(1, 19)]
    limits = [-1e-7, *inner, 1 + 1e-7]
    np.testing.assert_allclose(metric.thresholds, limits, rtol=1e-12)
    data = [(positive, share, weight) for _, _, positive, share, weight in entries(weighted)]
    expected = area(curve, method, limits, data)
    assert 0.1 < expected < 1
    # Precision is monotonic on a piece, so the midpoint rule is off by half a step of its range at
    # most: 1/4000 of the recall that is gained there.
    tolerance = 1 / 4000 if curve == "PR" and method == "interpolation" else 1e-12
    assert fill(metric, weighted) == pytest.approx(expected, abs=tolerance)
    metric.reset_state()
    assert metric.result() == 0


def test_area_of_many_thresholds_is_the_share_of_pairs_in_order() -> None:
    generator = np.random.default_rng(3)
    y_true, y_pred = generator.integers(0, 2, 300), generator.random(300).astype(np.float32)
    y_pred = (y_pred + 0.3 * y_true.astype(np.float32)) / 1.3
    pairs = y_pred[y_true == 1][:, None] - y_pred[y_true == 0]
    expected = np.mean(pairs > 0) + np.mean(pairs == 0) / 2
    # Pairs within one of 10,000 buckets count half: 1e-4 of them, times a density below 3.
    assert AUC(10_001)(y_true, y_pred) == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize("label_weights", [None, [1.0, 2.0, 0.0, 1.0]])
@pytest.mark.parametrize("multi_label", [False, True])
def test_area_with_labels_apart(multi_label: bool, label_weights: list[float] | None) -> None:
    metric = AUC(20, multi_label=multi_label, label_weights=label_weights)
    limits = [-1e-7, *(step / 19 for step in range(1, 19)), 1 + 1e-7]
    factors = label_weights or [1.0] * CLASSES
    if multi_label:
        areas = [
            area("ROC", "interpolation", limits, [e[2:] for e in entries(True) if e[1] == index])
            for index in range(CLASSES)
        ]
        expected = sum(a * f for a, f in zip(areas, factors, strict=True)) / sum(factors)
    else:
        data = [(e[2], e[3], e[4] * factors[e[1]]) for e in entries(True)]
        expected = area("ROC", "interpolation", limits, data)
    assert fill(metric, True) == pytest.approx(expected, rel=1e-12)


def test_area_from_logits() -> None:
    logits = np.array([-3.0, 1.0, 2.0, -0.5])
    by_hand = AUC()([0, 1, 1, 0], 1 / (1 + np.exp(-logits)))
    assert AUC(from_logits=True)([0, 1, 1, 0], logits) == by_hand == 1.0


def test_predictions_that_are_no_numbers_are_positive_at_no_threshold_inside() -> None:
    assert AUC()([1, 0], [math.nan, 0.5]) == 0


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k_accuracy(k: int) -> None:
    right = [
        sorted(share, reverse=True).index(share[target.argmax()]) < k
        for targets, shares, _ in batches()
        for target, share in zip(targets, shares.tolist(), strict=True)
    ]
    weights = np.concatenate([weights for _, _, weights in batches()])
    for kind in (TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy):
        for weighted in (False, True):
            metric = kind(k)
            for targets, shares, batch_weights in batches():
                labels = targets if kind is TopKCategoricalAccuracy else targets.argmax(axis=1)
                metric.update_state(labels, shares, batch_weights if weighted else None)
            expected = np.average(right, weights=weights if weighted else None)
            assert metric.result() == pytest.approx(expected, rel=1e-12)


def test_top_k_of_ties_and_of_no_numbers() -> None:
    assert SparseTopKCategoricalAccuracy(1)(np.array([[2]]), np.array([[0.4, 0.1, 0.4]])) == 1
    shares = np.array([[math.nan, 0.5, 0.2]])
    assert SparseTopKCategoricalAccuracy(1)(np.array([1]), shares) == 1
    assert SparseTopKCategoricalAccuracy(2)(np.array([0]), shares) == 0
    assert metrics.sparse_top_k_categorical_accuracy(np.array([2]), shares, k=2).tolist() == [True]
    assert metrics.top_k_categorical_accuracy(np.eye(3)[[2]], shares, k=1).tolist() == [False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Precision(1.5), r"Precision: thresholds must be probabilities, .*\[0, 1\], rece"),
        (lambda: Recall(top_k=0), "Recall: top_k is out of range, expected top_k >= 1, received 0"),
        (lambda: Recall(class_id=-1), "Recall: class_id is out of range"),
        (
            lambda: Recall(class_id=2)([[0, 1]], [[0, 1]]),
            "class_id is out of range, .* class_id < 2",
        ),
        (lambda: AUC(1), "AUC: num_thresholds is too small, expected num_thresholds >= 2"),
        (lambda: AUC(thresholds=[0.0]), "AUC: thresholds must be inside"),
        (lambda: AUC(curve="RoC2"), "AUC: curve is not known, expected one of ROC, PR"),
        (lambda: AUC(summation_method="mid"), "AUC: summation_method is not known"),
        (lambda: AUC(num_labels=3), "AUC: num_labels needs multi_label=True"),
        (lambda: AUC(multi_label=True)([0, 1], [0, 1]), "AUC: y_pred does not fit multi_label"),
        (lambda: TopKCategoricalAccuracy(0), "TopKCategoricalAccuracy: k is out of range"),
    ],
)
def test_arguments_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "metric",
    [
        Precision([0.25, 0.5], name="mine"),
        Recall(top_k=2, class_id=1),
        AUC(50, "PR", "majoring", multi_label=True, label_weights=[1, 2]),
        AUC(thresholds=[0.25, 0.5], from_logits=True),
        TopKCategoricalAccuracy(3),
        SparseTopKCategoricalAccuracy(2, name="top 2"),
        metrics.BinaryAccuracy(threshold=0.25),
        metrics.MeanSquaredError(),
        metrics.MeanAbsoluteError("error"),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_configurations(metric: Metric) -> None:
    config = metric.get_config()
    again = type(metric).from_config(config)
    assert type(again) is type(metric)
    assert again.get_config() == config
    assert metric.name in config.values()
    assert len(config) > 1 or type(metric) in (metrics.MeanSquaredError, metrics.MeanAbsoluteError)


def test_automatic_names_count() -> None:
    first, second = AUC(), AUC()
    assert first.name.startswith("auc")
    assert second.name != first.name
    assert metrics.get("auc", (None,), (None, 1)).name == "auc"
    assert metrics.get("Precision", (None,), (None, 1)).name == "Precision"


def test_directions() -> None:
    for name in ("accuracy", "precision", "recall", "auc", "top_k_categorical_accuracy"):
        assert metrics.get(name, (None, 3), (None, 3)).direction == "max"
    for name in ("mse", "mae"):
        assert metrics.get(name, (None, 3), (None, 3)).direction == "min"
    assert metrics.get(np.mean, (None, 3), (None, 3)).direction is None
