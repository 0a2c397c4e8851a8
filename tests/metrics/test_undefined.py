"""Metrics that are undefined for some targets: they say so, and keep Keras's number as their result."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics

from kerascli.metrics.base import METRICS

P = [0.9, 0.6, 0.2, 0.4]
BOTH, NONE, ALL = [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]


def elements(written: Any, y_true: Any, y_pred: Any) -> list[float | None]:
    metric = METRICS.parse(written)
    return metric.elements(metric(torch.tensor(y_true), torch.tensor(y_pred)).double(), only_defined=True)


def is_defined_in_sklearn(score: Callable[..., float], y_true: Sequence[int], y_pred: Any) -> bool:
    """Return True if scikit-learn computes a finite score without a warning."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return bool(np.isfinite(score(y_true, y_pred))) and not said


@pytest.mark.parametrize("y_true", [BOTH, NONE, ALL])
@pytest.mark.parametrize(
    ("written", "score", "threshold"),
    [
        ("auc", metrics.roc_auc_score, None),
        ({"auc": {"curve": "PR"}}, metrics.average_precision_score, None),
        ("precision", metrics.precision_score, 0.5),
        ({"precision": {"thresholds": 0.95}}, metrics.precision_score, 0.95),
        ("recall", metrics.recall_score, 0.5),
        ({"f1_score": {"threshold": 0.5, "average": "micro"}}, metrics.f1_score, 0.5),
        ({"f1_score": {"threshold": 0.95, "average": "micro"}}, metrics.f1_score, 0.95),
    ],
)
def test_a_metric_of_two_classes_is_undefined_where_scikit_learn_s_is(
    written: Any, score: Callable[..., float], threshold: float | None, y_true: list[int]
) -> None:
    predicted = P if threshold is None else (np.array(P) > threshold).astype(int)
    [value] = elements(written, [[float(y)] for y in y_true], [[p] for p in P])
    assert (value is not None) == is_defined_in_sklearn(score, y_true, predicted)


@pytest.mark.parametrize(
    ("written", "needs_negatives"),
    [
        ({"sensitivity_at_specificity": 0.5}, True),
        ({"specificity_at_sensitivity": 0.5}, True),
        ({"precision_at_recall": 0.5}, False),
        ({"recall_at_precision": 0.5}, False),
    ],
)
def test_a_metric_at_an_operating_point_needs_targets_of_both_metrics(written: Any, needs_negatives: bool) -> None:
    defined = [elements(written, [[float(y)] for y in each], [[p] for p in P]) != [None] for each in (BOTH, NONE, ALL)]
    assert defined == [True, False, not needs_negatives]


def test_each_of_several_values_is_defined_or_not_by_itself() -> None:
    y_true, y_pred = torch.eye(3)[[0, 1, 1]], torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.1, 0.9, 0.0]])
    expected = [metrics.f1_score([1, 0, 0], [1, 1, 0]), metrics.f1_score([0, 1, 1], [0, 0, 1])]
    first, second, third = elements("f1_score", y_true.tolist(), y_pred.tolist())
    assert [first, second] == pytest.approx(expected, abs=1e-6)
    assert third is None
    assert elements({"f1_score": {"average": "macro"}}, y_true.tolist(), y_pred.tolist()) == [None]
    assert elements({"f1_score": {"average": "weighted"}}, y_true.tolist(), y_pred.tolist()) != [None]
    thresholds = {"precision": {"thresholds": [0.95, 0.5]}}
    assert elements(thresholds, [[1.0], [1.0]], [[0.9], [0.6]]) == [None, 1.0]
    labels = {"auc": {"multi_label": True}}
    assert elements(labels, [[1.0, 0.0], [0.0, 0.0]], [[0.9, 0.1], [0.1, 0.1]]) == [None]


def test_an_overlap_is_undefined_only_where_no_class_occurs() -> None:
    for ids, known in (([0], True), ([2], False), ([0, 2], True)):
        iou = {"iou": {"num_classes": 3, "target_class_ids": ids}}
        assert (elements(iou, [0, 1, 1], [0, 1, 0]) != [None]) == known
    assert elements({"mean_iou": 3}, [0, 1], [0, 1]) != [None]


@pytest.mark.parametrize(("targets", "known"), [([7.0], False), ([0.1, 0.1, 0.1], False), ([1e4, 1e4 + 1], True)])
def test_r2_of_targets_that_do_not_vary_is_undefined(targets: list[float], known: bool) -> None:
    written = [[each] for each in targets]
    assert (elements("r2_score", written, [[each + 0.5] for each in targets]) != [None]) == known
    correlation = {"pearson_correlation": {"axis": 0}}
    assert (elements(correlation, written, [[float(i)] for i in range(len(targets))]) != [None]) == known
