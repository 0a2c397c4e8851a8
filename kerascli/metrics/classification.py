"""Scores of a classifier's predictions: of each class, at decision thresholds, and the areas under its curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

AIMS = ("f1", "accuracy", "balanced_accuracy")
"""Names of the metrics that the method `best` can maximize."""
_STEPS = tuple(step / 10 for step in range(1, 10))


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Precision, recall and F1 of one class; `support` is its number of rows."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix (true class, predicted class) of two arrays of integer class labels, (rows,)."""
    pairs = y_true.astype(np.int64) * classes + y_pred.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_rows(y_true: np.ndarray, y_pred: np.ndarray, names: Sequence[str]) -> list[ClassRow]:
    """Return precision, recall and F1 of each class of integer labels, (rows,); 0 where the denominator is 0."""
    hits, support, predicted = (
        np.bincount(labels, minlength=len(names)) for labels in (y_true[y_true == y_pred], y_true, y_pred)
    )
    precision, recall = _ratio(hits, predicted), _ratio(hits, support)
    f1 = _ratio(2 * precision * recall, precision + recall)
    columns = zip(names, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True)
    return [ClassRow(*row) for row in columns]


def _ratio(part: np.ndarray, whole: np.ndarray | int) -> np.ndarray:
    """Return part / whole, elementwise, with 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) != 0)


@dataclass(frozen=True, slots=True)
class Point:
    """Decision threshold of a binary classifier with the metrics at it; rows of higher probability are predicted
    positive."""

    threshold: float
    precision: float
    recall: float
    f1: float
    accuracy: float
    balanced_accuracy: float
    positives: int
    """Number of rows that are predicted positive: their probability is above the threshold."""


@dataclass(frozen=True)
class Thresholds:
    """Predictions of a binary classifier: (rows,) probabilities of the positive class, and (rows,) true classes, 0 or
    1."""

    probability: np.ndarray
    truth: np.ndarray

    def at(self, threshold: float) -> Point:
        """Return the metrics at a decision threshold; as in scikit-learn, a metric with denominator 0 is 0."""
        positive, truth = self.probability > threshold, self.truth.astype(bool)
        hits, rows, true = int((positive & truth).sum()), len(truth), int(truth.sum())
        positives = int(positive.sum())
        precision, recall = hits / positives if positives else 0.0, hits / true if true else 0.0
        f1 = 2 * hits / (positives + true) if positives + true else 0.0
        rejected = rows - positives - (true - hits)
        specificity = rejected / (rows - true) if rows > true else 0.0
        return Point(threshold, precision, recall, f1, (hits + rejected) / rows, (recall + specificity) / 2, positives)

    def table(self) -> list[Point]:
        """Return the classifier's metrics at each of the thresholds 0.1, 0.2 ... 0.9."""
        return [self.at(threshold) for threshold in _STEPS]

    def best(self, aim: str) -> Point:
        """Return the metrics at the threshold that maximizes the metric `aim` (one of AIMS); if tied, at the highest
        threshold."""
        hits, alarms, cuts = self._curve
        rows, true = len(self.truth), int(self.truth.sum())
        false_positive_rate, recall = self.roc
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {
                "f1": 2 * hits / (hits + alarms + true),
                "accuracy": (hits + rows - true - alarms) / rows,
                "balanced_accuracy": (recall + 1 - false_positive_rate) / 2,
            }[aim]
        return self.at(float(cuts[int(np.nanargmax(values[: len(cuts)]))]))

    def holding(self, recall: float) -> Point:
        """Return the metrics at the highest threshold at which recall is at least the given value, or largest."""
        cuts = self._curve[2]
        return self.at(float(cuts[min(int(np.searchsorted(self.roc[1], recall)), len(cuts) - 1)]))

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (false positive rates, true positive rates) for all thresholds in descending order."""
        hits, alarms, _ = self._curve
        true = int(self.truth.sum())
        return _ratio(alarms, len(self.truth) - true), _ratio(hits, true)

    @property
    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (recalls, precisions) for all thresholds with a positive prediction, in descending order."""
        hits, alarms, _ = self._curve
        return self.roc[1][1:], hits[1:] / (hits + alarms)[1:]

    @property
    def roc_auc(self) -> float | None:
        """Area under the ROC curve, computed by the trapezoidal rule; None without positives or without negatives."""
        if not 0 < self.truth.sum() < len(self.truth):
            return None
        x, y = self.roc
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))

    @property
    def average_precision(self) -> float | None:
        """Area under the precision-recall curve, a sum of steps like in scikit-learn; None without positives."""
        if not self.truth.any():
            return None
        recall, precision = self.precision_recall
        return float(np.sum(np.diff(recall, prepend=0) * precision))

    def calibration(self, bins: int = 10) -> list[tuple[float, float, int]]:
        """Return the calibration as a list of (mean probability, share of positives, number of rows), one per bin with
        rows."""
        number = np.clip((self.probability * bins).astype(int), 0, bins - 1)  # a model may predict below 0
        rows = np.bincount(number, minlength=bins)
        means, shares = (
            np.bincount(number, values, bins) / np.maximum(rows, 1) for values in (self.probability, self.truth)
        )
        return [(float(means[i]), float(shares[i]), int(rows[i])) for i in range(bins) if rows[i]]

    @cached_property
    def _curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(True positives, false positives, thresholds) in descending order of thresholds.

        Thresholds are the highest probability, one halfway between each two neighbouring distinct ones (the lower one
        if their dtype has no number between them), and half of the lowest; above none are rows of a lowest of 0, so
        that the last counts then have no threshold.
        """
        order = np.argsort(-self.probability, kind="stable")
        probability, truth = self.probability[order].astype(float), self.truth[order].astype(int)
        ends = np.append(np.flatnonzero(np.diff(probability)), len(probability) - 1)  # of rows of equal probability
        hits = np.append(0, truth.cumsum()[ends])
        distinct = probability[ends]
        middles = (distinct[:-1] + distinct[1:]) / 2
        middles = np.where(middles.astype(self.probability.dtype) < distinct[:-1], middles, distinct[1:])
        cuts = np.append(distinct[0], np.append(middles, distinct[-1:][distinct[-1:] > 0] / 2))
        return hits, np.append(0, ends + 1) - hits, cuts
