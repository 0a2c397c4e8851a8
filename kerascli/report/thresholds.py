"""Metrics of a binary classifier at decision thresholds, the best threshold, and the areas under its curves."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kerascli.report.text_table import text_table

AIMS = ("f1", "accuracy", "balanced_accuracy")
"""Names of the metrics that the method `best` can maximize."""
_STEPS = tuple(step / 10 for step in range(1, 10))


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
        return self._point(threshold, self.probability > threshold)

    def table(self) -> list[Point]:
        """Return the classifier's metrics at each of the thresholds 0.1, 0.2 ... 0.9."""
        return [self.at(threshold) for threshold in _STEPS]

    def best(self, aim: str) -> Point:
        """Return the metrics at the threshold that maximizes the metric `aim` (one of AIMS); if tied, at the highest
        threshold."""
        hits, alarms = self._counts
        rows, true = len(self.truth), int(self.truth.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {
                "f1": 2 * hits / (hits + alarms + true),
                "accuracy": (hits + rows - true - alarms) / rows,
                "balanced_accuracy": (_share(hits, true) + 1 - _share(alarms, rows - true)) / 2,
            }[aim]
        return self.at(float(self._cuts[int(np.nanargmax(values))]))

    def holding(self, recall: float) -> Point:
        """Return the metrics at the highest threshold at which recall is at least the given value."""
        hits, _ = self._counts
        reached = _share(hits, int(self.truth.sum())) >= recall
        return self.at(float(self._cuts[int(reached.argmax())]))

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (false positive rates, true positive rates) for all thresholds in descending order."""
        hits, alarms = self._counts
        true = int(self.truth.sum())
        return _share(alarms, len(self.truth) - true), _share(hits, true)

    @property
    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (recalls, precisions) for all thresholds with a positive prediction, in descending order."""
        hits, alarms = self._counts
        return _share(hits, int(self.truth.sum()))[1:], hits[1:] / (hits + alarms)[1:]

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
    def _ordered(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(-self.probability, kind="stable")
        return self.probability[order].astype(float), self.truth[order].astype(int)

    @cached_property
    def _ends(self) -> np.ndarray:
        """Indices of the last row of each distinct probability, in rows sorted by descending probability."""
        probability, _ = self._ordered
        return np.append(np.flatnonzero(np.diff(probability)), len(probability) - 1)

    @cached_property
    def _counts(self) -> tuple[np.ndarray, np.ndarray]:
        """(True positives, false positives) as arrays of counts: first 0, then one per distinct probability,
        descending."""
        _, truth = self._ordered
        hits = np.append(0, truth.cumsum()[self._ends])
        return hits, np.append(0, self._ends + 1) - hits

    @cached_property
    def _cuts(self) -> np.ndarray:
        """Decision thresholds in descending order: the highest probability, one halfway between each two neighbouring
        distinct ones, and half of the lowest."""
        distinct = self._ordered[0][self._ends]
        return np.append(distinct[0], np.append((distinct[:-1] + distinct[1:]) / 2, distinct[-1] / 2))

    def _point(self, threshold: float, positive: np.ndarray) -> Point:
        truth = self.truth.astype(bool)
        hits, rows, true = int((positive & truth).sum()), len(truth), int(truth.sum())
        positives = int(positive.sum())
        precision, recall = hits / positives if positives else 0.0, hits / true if true else 0.0
        f1 = 2 * hits / (positives + true) if positives + true else 0.0
        rejected = rows - positives - (true - hits)
        specificity = rejected / (rows - true) if rows > true else 0.0
        return Point(threshold, precision, recall, f1, (hits + rejected) / rows, (recall + specificity) / 2, positives)


def area_text(area: float | None) -> str:
    """Return the area under a curve as text; `-` if it is undefined."""
    return "-" if area is None else f"{area:.4f}"


def _share(part: np.ndarray, whole: int) -> np.ndarray:
    return part / whole if whole else np.zeros(len(part))


def threshold_table(points: list[Point]) -> str:
    """Return the metrics at several decision thresholds as a plain-text table."""
    thresholds = ["threshold", *(f"{each.threshold:>9.4g}" for each in points)]
    scores = [
        [name, *(f"{getattr(each, name):.4f}" for each in points)] for name in ("precision", "recall", "f1", "accuracy")
    ]
    return text_table(thresholds, [*scores, ["positives", *(f"{each.positives:,}" for each in points)]])
