"""Thresholds of binary classifiers beside scikit-learn's metrics."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from kerascli.metrics.classification import AIMS, Thresholds
from kerascli.report.text_tables import threshold_table

ZERO: Any = 0  # scikit-learn's type says text
RANDOM = np.random.default_rng(0)
TRUTH = (RANDOM.random(300) < 0.2).astype(int)
CASES = {
    "distinct": (np.clip(TRUTH * 0.2 + RANDOM.random(300) * 0.7, 0, 1), TRUTH),
    "ties": (np.round(np.clip(TRUTH * 0.2 + RANDOM.random(300) * 0.7, 0, 1), 1), TRUTH),
    "float32": (RANDOM.random(50).astype(np.float32), (RANDOM.random(50) < 0.5).astype(int)),
    "neighbouring numbers of float32": (
        (0x3E99999A + np.arange(20, dtype=np.int32)).view(np.float32),
        (np.arange(20) > 8).astype(int),
    ),
    "all alike": (np.full(20, 0.5), np.arange(20) % 2),
    "saturated": (np.array([0, 1, 0.125, 1, 0, 0], np.float32), np.array([0, 1, 0, 0, 0, 1])),
}


@pytest.fixture(params=CASES)
def found(request: pytest.FixtureRequest) -> Thresholds:
    return Thresholds(*CASES[request.param])


def test_areas_are_those_of_scikit_learn(found: Thresholds) -> None:
    truth, probability = found.truth, found.probability
    assert found.roc_auc == pytest.approx(metrics.roc_auc_score(truth, probability), abs=1e-12)
    assert found.average_precision == pytest.approx(metrics.average_precision_score(truth, probability), abs=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.35, 0.5, 0.9, 1.0])
def test_metrics_at_a_threshold(found: Thresholds, threshold: float) -> None:
    positive, truth = found.probability > threshold, found.truth
    point = found.at(threshold)
    assert point.precision == pytest.approx(metrics.precision_score(truth, positive, zero_division=ZERO))
    assert point.recall == pytest.approx(metrics.recall_score(truth, positive))
    assert point.f1 == pytest.approx(metrics.f1_score(truth, positive, zero_division=ZERO))
    assert point.accuracy == pytest.approx(metrics.accuracy_score(truth, positive))
    assert point.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, positive))
    assert point.positives == positive.sum()


@pytest.mark.parametrize("aim", AIMS)
def test_no_other_threshold_is_better(found: Thresholds, aim: str) -> None:
    best = getattr(found.best(aim), aim)
    others = [0.0, *found.probability.astype(float).tolist(), 1.0]
    assert best >= max(getattr(found.at(each), aim) for each in others) - 1e-12


@pytest.mark.parametrize("recall", [0.1, 0.5, 0.9, 1.0])
def test_a_recall_is_held_by_the_highest_threshold_that_does(found: Thresholds, recall: float) -> None:
    point = found.holding(recall)
    assert point.recall >= min(recall, found.at(0).recall)  # no threshold is below 0
    higher = [each for each in found.probability.astype(float).tolist() if each > point.threshold]
    assert all(found.at(each).recall < recall for each in higher)


def test_calibration_is_by_bins_of_equal_width(found: Thresholds) -> None:
    rows = found.calibration(4)
    assert sum(count for *_, count in rows) == len(found.truth)
    for mean, share, count in rows:
        number = min(int(mean * 4), 3)
        inside = np.minimum((found.probability * 4).astype(int), 3) == number
        assert count == inside.sum()
        assert mean == pytest.approx(found.probability[inside].mean(), rel=1e-6)
        assert share == pytest.approx(found.truth[inside].mean())


def test_probabilities_that_are_none_are_in_the_outer_bins() -> None:
    """A model without a sigmoid predicts any number."""
    found = Thresholds(np.array([-3.0, 0.5, 7.0]), np.array([0, 1, 1])).calibration(2)
    assert [count for *_, count in found] == [1, 2]


def test_one_class_alone_has_no_areas_but_metrics() -> None:
    found = Thresholds(np.array([0.2, 0.8]), np.array([0, 0]))
    assert found.roc_auc is found.average_precision is None
    assert found.at(0.5).recall == 0
    assert found.best("accuracy").accuracy == 1


def test_the_table_has_a_line_a_threshold(found: Thresholds) -> None:
    lines = threshold_table(found.table()).splitlines()
    assert len(lines) == 10
    assert len({len(line) for line in lines}) == 1


def test_rows_of_probability_zero_are_above_no_threshold() -> None:
    found = Thresholds(np.array([0, 1, 0.125, 1], np.float32), np.array([1, 1, 0, 0]))
    best = found.best("f1")
    assert best.threshold > 0
    assert best.f1 == pytest.approx(max(found.at(float(cut)).f1 for cut in (0, 0.06, 0.5, 1)))
    assert found.holding(1.0).recall == 0.5  # one of the two positive rows has probability 0
    assert metrics.roc_auc_score(found.truth, found.probability) == pytest.approx(found.roc_auc)
