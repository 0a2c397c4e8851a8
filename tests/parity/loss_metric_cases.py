"""Cases of losses and metrics: the shapes and values that each takes, and Keras's counterpart."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

ROWS = (32, 32, 7)
"""Sizes of batches: two full ones and a smaller last one."""
K, T = 4, 5

ARRANGEMENTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "vector, column": ((), (1,)),
    "column, column": ((1,), (1,)),
    "column, vector": ((1,), ()),
    "vector, vector": ((), ()),
    "rows, rows": ((K,), (K,)),
    "labels, rows": ((), (K,)),
    "label column, rows": ((1,), (K,)),
    "rows, column": ((K,), (1,)),
    "rows, vector": ((K,), ()),
    "steps, steps of one": ((T,), (T, 1)),
    "steps of one, steps of one": ((T, 1), (T, 1)),
    "steps of rows, steps of rows": ((T, K), (T, K)),
    "step labels, steps of rows": ((T,), (T, K)),
    "step label column, steps of rows": ((T, 1), (T, K)),
    "steps of rows, steps of one": ((T, K), (T, 1)),
    "labels, steps of rows": ((), (T, K)),
}
"""Shapes of targets and outputs, without the batch axis."""

NUMBERS = frozenset({"vector, column", "column, column", "column, vector", "vector, vector"})
STEPS = frozenset({"steps, steps of one", "steps of one, steps of one"})
ROW = frozenset({"rows, rows"})
FLAT = NUMBERS | ROW
ONE_HOT = ROW | {"steps of rows, steps of rows"}
EVERY = NUMBERS | STEPS | ONE_HOT
FLAT_LABELS = frozenset({"labels, rows", "label column, rows"})
LABELS = FLAT_LABELS | {"step labels, steps of rows", "step label column, steps of rows"}


@dataclass(frozen=True)
class Case:
    """A component with arguments: shapes that it takes, kind of values, and Keras's counterpart."""

    kind: str
    takes: frozenset[str]
    keras: Callable[[], Any] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    rtol: float = 1e-9
    """Relative tolerance for float64 sums in another order; larger where Keras computes in float32 regardless."""
    weighted: bool = True
    masked: bool = True
    """True if masked time steps count as omitted rows."""


@dataclass(frozen=True)
class Data:
    """Inputs and targets of all rows, for one arrangement of shapes."""

    true: np.ndarray
    pred: np.ndarray
    weight: np.ndarray
    mask: np.ndarray
    """Return a mask (N, T) with a few masked steps in each row."""


def data_of(kind: str, arrangement: str) -> Data:
    """Return seeded values of a kind; labels and binary targets are integers, as in data."""
    shapes = [(sum(ROWS), *shape) for shape in ARRANGEMENTS[arrangement]]
    random = np.random.default_rng(len(arrangement))
    if kind == "accuracy":
        of_classes = "one_hot" if arrangement in ONE_HOT else "labels"
        kind = of_classes if shapes[1][-1] == K else "yes_no"
    true, pred = _VALUES[kind](random, *shapes)
    # eighths: exact in float32, in which Keras adds the weights of outcomes
    weight = random.integers(1, 17, size=sum(ROWS)) / 8
    mask = random.uniform(size=(sum(ROWS), T)) < 0.7
    mask[:, 0] = True
    return Data(true, pred, weight, mask)


Shape = tuple[int, ...]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def _directions(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


_VALUES: dict[str, Callable[[np.random.Generator, Shape, Shape], tuple[np.ndarray, np.ndarray]]] = {
    "numbers": lambda r, true, pred: (r.normal(size=true), r.normal(size=pred)),
    "counts": lambda r, true, pred: (r.poisson(3.0, size=true), np.exp(r.normal(size=pred))),
    "shares": lambda r, true, pred: (r.uniform(0.05, 1, size=true), _sigmoid(r.normal(size=pred))),
    "yes_no": lambda r, true, pred: (r.integers(0, 2, size=true), _sigmoid(r.normal(size=pred))),
    "one_hot": lambda r, true, pred: (np.eye(K)[r.integers(0, K, size=true[:-1])], _softmax(r.normal(size=pred))),
    "labels": lambda r, true, pred: (r.integers(0, K, size=true), _softmax(r.normal(size=pred))),
    "regions": lambda r, true, pred: (r.integers(0, 3, size=true), r.integers(0, 3, size=pred) * 1.0),
    "embeddings": lambda r, true, pred: (r.integers(0, K, size=true), _directions(r.normal(size=pred))),
    "alignments": lambda r, true, pred: (r.integers(1, K, size=true), r.normal(size=pred)),
}


def _loss(name: str, **arguments: Any) -> Callable[[], Any]:
    return lambda: getattr(keras.losses, name)(**arguments)


def _metric(name: str, **arguments: Any) -> Callable[[], Any]:
    return lambda: getattr(keras.metrics, name)(**arguments)


def _overlap(name: str, **arguments: Any) -> Callable[[], Any]:
    """Keras truncates weights to integers here, unless it is given another dtype."""
    return lambda: getattr(keras.metrics, name)(**arguments, dtype="float64")


def _mean_of(name: str, **arguments: Any) -> Callable[[], Any]:
    """Return a factory of a metric that Keras has only as a function."""
    return lambda: keras.metrics.MeanMetricWrapper(getattr(keras.metrics, name), name=name, **arguments)


_SQUARES = {"value": "mean(square(y_true - y_pred), axis=-1)"}

LOSSES: dict[str, Case] = {
    "binary_crossentropy": Case("yes_no", EVERY, _loss("BinaryCrossentropy")),
    "binary_focal_crossentropy": Case("yes_no", EVERY, _loss("BinaryFocalCrossentropy")),
    "categorical_crossentropy": Case("one_hot", ONE_HOT, _loss("CategoricalCrossentropy")),
    "categorical_focal_crossentropy": Case("one_hot", ONE_HOT, _loss("CategoricalFocalCrossentropy")),
    "categorical_generalized_cross_entropy": Case("labels", LABELS, _loss("CategoricalGeneralizedCrossEntropy")),
    "categorical_hinge": Case("yes_no", EVERY, _loss("CategoricalHinge")),
    "circle": Case("embeddings", FLAT_LABELS, _loss("Circle"), weighted=False),
    "cosine_similarity": Case("numbers", EVERY, _loss("CosineSimilarity")),
    "crossentropy": Case("accuracy", EVERY | LABELS),
    "ctc": Case("alignments", frozenset({"step labels, steps of rows"}), _loss("CTC"), masked=False),
    "dice": Case("yes_no", EVERY, _loss("Dice"), masked=False),
    "expr": Case("numbers", NUMBERS - {"vector, vector"} | STEPS | ONE_HOT, _loss("MeanSquaredError"), _SQUARES),
    "hinge": Case("yes_no", EVERY, _loss("Hinge")),
    "huber": Case("numbers", EVERY, _loss("Huber")),
    "kl_divergence": Case("shares", EVERY, _loss("KLDivergence")),
    "log_cosh": Case("numbers", EVERY, _loss("LogCosh")),
    "mean_absolute_error": Case("numbers", EVERY, _loss("MeanAbsoluteError")),
    "mean_absolute_percentage_error": Case("numbers", EVERY, _loss("MeanAbsolutePercentageError")),
    "mean_squared_error": Case("numbers", EVERY, _loss("MeanSquaredError")),
    "mean_squared_logarithmic_error": Case("counts", EVERY, _loss("MeanSquaredLogarithmicError")),
    "poisson": Case("counts", EVERY, _loss("Poisson")),
    "sparse_categorical_crossentropy": Case("labels", LABELS, _loss("SparseCategoricalCrossentropy")),
    "squared_hinge": Case("yes_no", EVERY, _loss("SquaredHinge")),
    "tversky": Case("yes_no", EVERY, _loss("Tversky"), masked=False),
}

_ONE_AXIS = ROW | {"steps, steps of one", "steps of rows, steps of rows"}
"""Shapes with more than one value per row to correlate."""
_FLOAT32 = 1e-6

METRICS: dict[str, Case] = {
    "accuracy": Case("accuracy", EVERY | LABELS),
    "auc": Case("yes_no", EVERY, _metric("AUC")),
    "binary_accuracy": Case("yes_no", EVERY, _metric("BinaryAccuracy")),
    "binary_crossentropy": Case("yes_no", EVERY, _metric("BinaryCrossentropy")),
    "binary_focal_crossentropy": Case("yes_no", EVERY, _mean_of("binary_focal_crossentropy")),
    "binary_iou": Case("yes_no", EVERY, _overlap("BinaryIoU"), rtol=_FLOAT32),
    "categorical_accuracy": Case("one_hot", ONE_HOT, _metric("CategoricalAccuracy")),
    "categorical_crossentropy": Case("one_hot", ONE_HOT, _metric("CategoricalCrossentropy")),
    "categorical_focal_crossentropy": Case("one_hot", ONE_HOT, _mean_of("categorical_focal_crossentropy")),
    "categorical_hinge": Case("yes_no", EVERY, _metric("CategoricalHinge")),
    "concordance_correlation": Case("numbers", _ONE_AXIS, _metric("ConcordanceCorrelation")),
    "cosine_similarity": Case("numbers", EVERY, _metric("CosineSimilarity")),
    "expr": Case("numbers", NUMBERS - {"vector, vector"} | STEPS | ONE_HOT, _metric("MeanSquaredError"), _SQUARES),
    "f1_score": Case(
        "yes_no", FLAT, _metric("F1Score", average="macro", threshold=0.5), {"average": "macro", "threshold": 0.5}
    ),
    "false_negatives": Case("yes_no", EVERY, _metric("FalseNegatives")),
    "false_positives": Case("yes_no", EVERY, _metric("FalsePositives")),
    "fbeta_score": Case(
        "yes_no", FLAT, _metric("FBetaScore", average="weighted", beta=2.0), {"average": "weighted", "beta": 2.0}
    ),
    "hinge": Case("yes_no", EVERY, _metric("Hinge")),
    "huber": Case("numbers", EVERY, _mean_of("huber")),
    "iou": Case(
        "labels", LABELS, _overlap("IoU", num_classes=K, target_class_ids=[1, 3], sparse_y_pred=False),
        {"num_classes": K, "target_class_ids": [1, 3], "sparse_y_pred": False}, rtol=_FLOAT32,
    ),
    "kl_divergence": Case("shares", EVERY, _metric("KLDivergence")),
    "log_cosh_error": Case("numbers", EVERY, _metric("LogCoshError")),
    "mean_absolute_error": Case("numbers", EVERY, _metric("MeanAbsoluteError")),
    "mean_absolute_percentage_error": Case("numbers", EVERY, _metric("MeanAbsolutePercentageError")),
    "mean_iou": Case(
        "regions", EVERY, _overlap("MeanIoU", num_classes=3), {"num_classes": 3}, rtol=_FLOAT32
    ),
    "mean_relative_error": Case(
        "numbers", EVERY, lambda: keras.metrics.MeanMetricWrapper(lambda t, p: abs(t - p) / 4), {"normalizer": 4.0}
    ),
    "mean_squared_error": Case("numbers", EVERY, _metric("MeanSquaredError")),
    "mean_squared_logarithmic_error": Case("counts", EVERY, _metric("MeanSquaredLogarithmicError")),
    "one_hot_iou": Case(
        "one_hot", ONE_HOT, _overlap("OneHotIoU", num_classes=K, target_class_ids=[0, 2]),
        {"num_classes": K, "target_class_ids": [0, 2]}, rtol=_FLOAT32,
    ),
    "one_hot_mean_iou": Case(
        "one_hot", ONE_HOT, _overlap("OneHotMeanIoU", num_classes=K), {"num_classes": K}, rtol=_FLOAT32
    ),
    "pearson_correlation": Case("numbers", _ONE_AXIS, _metric("PearsonCorrelation")),
    "poisson": Case("counts", EVERY, _metric("Poisson")),
    "precision": Case("yes_no", EVERY, _metric("Precision")),
    "precision_at_recall": Case("yes_no", EVERY, _metric("PrecisionAtRecall", recall=0.5), {"recall": 0.5}),
    "r2_score": Case("numbers", FLAT, _metric("R2Score")),
    "recall": Case("yes_no", EVERY, _metric("Recall", class_id=0), {"class_id": 0}),
    "recall_at_precision": Case(
        "yes_no", EVERY, _metric("RecallAtPrecision", precision=0.4, class_id=0), {"precision": 0.4, "class_id": 0}
    ),
    "root_mean_squared_error": Case("numbers", EVERY, _metric("RootMeanSquaredError")),
    "sensitivity_at_specificity": Case(
        "yes_no", EVERY, _metric("SensitivityAtSpecificity", specificity=0.6), {"specificity": 0.6}
    ),
    "sparse_categorical_accuracy": Case("labels", LABELS, _metric("SparseCategoricalAccuracy")),
    "sparse_categorical_crossentropy": Case("labels", LABELS, _metric("SparseCategoricalCrossentropy")),
    "sparse_top_k_categorical_accuracy": Case(
        "labels", LABELS, _metric("SparseTopKCategoricalAccuracy", k=3), {"k": 3}
    ),
    "specificity_at_sensitivity": Case(
        "yes_no", EVERY, _metric("SpecificityAtSensitivity", sensitivity=0.7), {"sensitivity": 0.7}
    ),
    "squared_hinge": Case("yes_no", EVERY, _metric("SquaredHinge")),
    "top_k_categorical_accuracy": Case("one_hot", ONE_HOT, _metric("TopKCategoricalAccuracy", k=2), {"k": 2}),
    "true_negatives": Case("yes_no", EVERY, _metric("TrueNegatives", thresholds=0.2), {"thresholds": 0.2}),
    "true_positives": Case("yes_no", EVERY, _metric("TruePositives")),
}  # fmt: skip
