"""Metrics: values over several batches, weighted or not, equal Keras's, and states can be summed."""

import inspect
from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.metrics.accuracy import accuracy_for
from kerascli.metrics.base import METRICS, Metric
from tests.parity import ledger

pytestmark = pytest.mark.usefixtures("keras_makes_float64")

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def batches(kind: str, rows: int = 7, inner: tuple[int, ...] = ()) -> list[Batch]:
    """Three batches of unequal size."""
    random = np.random.default_rng(11)
    out = []
    for size in (rows, rows, rows - 3):
        shape = (size, *inner, 1 if kind == "column" else 5)
        logits = random.normal(size=shape)
        classes = random.integers(0, 5, size=shape[:-1])
        softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        yes_no = (random.uniform(size=shape) < 0.4).astype(float)
        sigmoid = 1 / (1 + np.exp(-logits))
        sigmoid.flat[0], sigmoid.flat[1] = 0.0, 1.0
        true, pred = {
            "numbers": (random.normal(size=shape), logits),
            "counts": (random.poisson(3.0, size=shape).astype(float), np.exp(logits)),
            "one_hot": (np.eye(5)[classes], softmax),
            "one_hot_logits": (np.eye(5)[classes], logits),
            "classes": (classes, softmax),
            "classes_logits": (classes, logits),
            "ids": (classes, np.argsort(-logits, axis=-1).astype(float)),
            "yes_no": (yes_no, sigmoid),
            "yes_no_logits": (yes_no, logits),
            "column": (yes_no[..., 0], sigmoid),
            "one_hot_numbers": (np.eye(5)[classes], random.integers(0, 5, size=shape[:-1]).astype(float)),
            "grid": (yes_no, np.round(sigmoid * 20) / 20),  # on thresholds
        }[kind]
        # eighths: exact in float32, in which Keras adds the weights of outcomes
        out.append((true, pred, random.integers(1, 17, size=size) / 8))
    return out


def agree(
    name: str, theirs: Any, arguments: dict[str, Any], data: list[Batch], *, weighted: bool, **gap: float
) -> None:
    """Assert equal values over several batches, and record it in the ledger."""
    metric = METRICS.parse({name: arguments} if arguments else name)
    compared = ledger.Comparison(**gap)
    ours = torch.as_tensor(figure(metric, data, weighted=weighted))
    compared.same(ours, torch.as_tensor(keras_figure(theirs, data, weighted=weighted)).to(ours.dtype))
    case = ledger.describe({**arguments, "weighted": weighted}, data[0][1].shape)
    ledger.note("metric", metric.component_name, case, compared.gap)


def figure(metric: Metric, data: list[Batch], *, weighted: bool) -> np.ndarray:
    """Return our metric's value from the summed states of batches."""
    states = [
        metric(torch.tensor(t), torch.tensor(p), sample_weight=torch.tensor(w) if weighted else None)
        for t, p, w in data
    ]
    assert {state.dtype for state in states} == {torch.float64}
    return metric.result(torch.stack(states).sum(0)).numpy()


def keras_figure(metric: Any, data: list[Batch], *, weighted: bool) -> np.ndarray:
    for t, p, w in data:
        metric.update_state(torch.tensor(t), torch.tensor(p), sample_weight=torch.tensor(w) if weighted else None)
    return metric.result().numpy()


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("BinaryAccuracy", "yes_no", {}),
    ("BinaryAccuracy", "column", {"threshold": 0.3}),
    ("CategoricalAccuracy", "one_hot", {}),
    ("SparseCategoricalAccuracy", "classes", {}),
    ("TopKCategoricalAccuracy", "one_hot", {"k": 2}),
    ("SparseTopKCategoricalAccuracy", "classes", {"k": 3}),
    ("SparseTopKCategoricalAccuracy", "ids", {"k": 2, "from_sorted_ids": True}),
    ("MeanSquaredError", "numbers", {}),
    ("MeanAbsoluteError", "numbers", {}),
    ("MeanAbsolutePercentageError", "numbers", {}),
    ("MeanSquaredLogarithmicError", "counts", {}),
    ("RootMeanSquaredError", "numbers", {}),
    ("LogCoshError", "numbers", {}),
    ("Poisson", "counts", {}),
    ("KLDivergence", "one_hot", {}),
    ("CosineSimilarity", "numbers", {}),
    ("Hinge", "yes_no_logits", {}),
    ("SquaredHinge", "yes_no_logits", {}),
    ("CategoricalHinge", "one_hot", {}),
    ("BinaryCrossentropy", "yes_no", {"label_smoothing": 0.1}),
    ("BinaryCrossentropy", "yes_no_logits", {"from_logits": True}),
    ("CategoricalCrossentropy", "one_hot", {}),
    ("CategoricalCrossentropy", "one_hot_logits", {"from_logits": True, "label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "one_hot", {"axis": -1, "label_smoothing": 0.3}),
    ("SparseCategoricalCrossentropy", "classes", {}),
    ("SparseCategoricalCrossentropy", "classes_logits", {"from_logits": True}),
    ("SparseCategoricalCrossentropy", "classes", {"ignore_class": 2}),
    ("CosineSimilarity", "numbers", {"axis": 1}),
    ("CosineSimilarity", "numbers", {"axis": [1]}),
    ("PearsonCorrelation", "numbers", {}),
    ("PearsonCorrelation", "numbers", {"axis": 1}),
    ("ConcordanceCorrelation", "numbers", {}),
    ("ConcordanceCorrelation", "counts", {}),
    ("Precision", "yes_no", {}),
    ("Precision", "grid", {"thresholds": 0.3}),
    ("Precision", "yes_no", {"top_k": 2}),
    ("Precision", "yes_no", {"class_id": 3, "thresholds": 0.4}),
    ("Precision", "yes_no", {"class_id": 1, "top_k": 3}),
    ("Precision", "yes_no", {"thresholds": [0.7, 0.2, 0.45]}),
    ("Precision", "yes_no", {"thresholds": [0.2, 0.6], "top_k": 2}),
    ("Precision", "grid", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}),  # even: Keras rounds to places
    ("Precision", "yes_no_logits", {"thresholds": [1.0, 0.5, 0.0]}),  # falling: each is compared by itself
    ("Recall", "yes_no", {}),
    ("Recall", "grid", {"thresholds": [0.3, 0.3, 0.8]}),
    ("Recall", "yes_no", {"thresholds": [0.5, 0.1], "class_id": 2}),
    ("Recall", "yes_no", {"thresholds": [0.4]}),
    ("Recall", "yes_no", {"top_k": 2}),
    ("Recall", "column", {}),
    ("TruePositives", "yes_no", {}),
    ("TrueNegatives", "yes_no", {"thresholds": 0.2}),
    ("FalsePositives", "grid", {}),
    ("FalseNegatives", "yes_no", {}),
    ("TruePositives", "grid", {"thresholds": [0.9, 0.2]}),
    ("TrueNegatives", "yes_no", {"thresholds": [0.0, 0.5, 1.0]}),
    ("FalsePositives", "column", {"thresholds": [0.2, 0.3, 0.9]}),
    ("FalseNegatives", "grid", {"thresholds": [0.6, 0.1]}),
    ("SensitivityAtSpecificity", "yes_no", {"specificity": 0.6}),
    ("SensitivityAtSpecificity", "yes_no", {"specificity": 0.6, "num_thresholds": 31, "class_id": 3}),
    ("SpecificityAtSensitivity", "yes_no", {"sensitivity": 0.7, "class_id": 1}),
    ("PrecisionAtRecall", "yes_no", {"recall": 0.5, "num_thresholds": 40, "class_id": 0}),
    ("RecallAtPrecision", "grid", {"precision": 0.4, "num_thresholds": 21}),
    ("SpecificityAtSensitivity", "yes_no", {"sensitivity": 0.7, "num_thresholds": 1}),
    ("PrecisionAtRecall", "grid", {"recall": 0.5}),
    ("RecallAtPrecision", "yes_no", {"precision": 0.4, "class_id": 2}),
    ("AUC", "yes_no", {}),
    ("AUC", "grid", {"num_thresholds": 21}),
    ("AUC", "yes_no_logits", {"from_logits": True, "num_thresholds": 33}),
    ("AUC", "yes_no", {"curve": "PR"}),
    ("AUC", "yes_no", {"curve": "PR", "summation_method": "minoring"}),
    ("AUC", "yes_no", {"summation_method": "majoring", "thresholds": [0.9, 0.2, 0.35]}),
    ("AUC", "yes_no", {"multi_label": True}),
    ("AUC", "yes_no", {"multi_label": True, "num_labels": 5}),
    ("AUC", "yes_no", {"multi_label": True, "curve": "PR", "label_weights": [1.0, 2.0, 0.5, 1.0, 0.0]}),
    ("AUC", "yes_no", {"label_weights": [1.0, 2.0, 0.5, 1.0, 0.0]}),
    ("F1Score", "one_hot", {"average": "macro"}),
    ("F1Score", "yes_no", {"average": "weighted", "threshold": 0.4}),
    ("FBetaScore", "yes_no", {"average": "micro", "beta": 2.0, "threshold": 0.5}),
    ("F1Score", "one_hot", {}),
    ("F1Score", "yes_no", {"average": None, "threshold": 0.4}),
    ("FBetaScore", "one_hot", {"beta": 2.0}),
    ("R2Score", "numbers", {"class_aggregation": None}),
    ("R2Score", "numbers", {"class_aggregation": None, "num_regressors": 2}),
    ("R2Score", "numbers", {}),
    ("R2Score", "numbers", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "kind", "arguments"), CASES)
def test_the_metric_of_three_batches_is_keras_s(
    name: str, kind: str, arguments: dict[str, Any], weighted: bool
) -> None:
    data = batches(kind)
    agree(name, getattr(keras.metrics, name)(**arguments), arguments, data, weighted=weighted)


OVER_TIME = [case for case in CASES if case[0] not in {"F1Score", "FBetaScore", "R2Score", "AUC"}] + [
    ("AUC", "yes_no", {})
]


@pytest.mark.parametrize(("name", "kind", "arguments"), OVER_TIME)
def test_time_steps_are_averaged_as_in_keras(name: str, kind: str, arguments: dict[str, Any]) -> None:
    data = batches(kind, inner=(4,))
    agree(name, getattr(keras.metrics, name)(**arguments), arguments, data, weighted=False)


AXES = {
    "CategoricalCrossentropy": "one_hot", "CosineSimilarity": "numbers", "PearsonCorrelation": "numbers",
    "ConcordanceCorrelation": "numbers", "binary_focal_crossentropy": "yes_no",
    "categorical_focal_crossentropy": "one_hot",
}  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", AXES)
def test_several_axes_are_taken_together_as_in_keras(name: str, weighted: bool) -> None:
    theirs = getattr(keras.metrics, name)
    made = keras.metrics.MeanMetricWrapper(theirs, axis=(1, 2)) if name in FUNCTIONS else theirs(axis=(1, 2))
    agree(name, made, {"axis": [1, 2]}, batches(AXES[name], inner=(4,)), weighted=weighted)


@pytest.mark.parametrize("weighted", [False, True])
def test_classes_may_be_on_another_axis_than_the_last(weighted: bool) -> None:
    data = [(t, p.swapaxes(1, 2), np.repeat(w[:, None], 4, 1)) for t, p, w in batches("classes", inner=(4,))]
    theirs = keras.metrics.SparseCategoricalCrossentropy(axis=1)
    agree("SparseCategoricalCrossentropy", theirs, {"axis": 1}, data, weighted=weighted)


@pytest.mark.parametrize("name", ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"])
@pytest.mark.parametrize("columns", [1, 4])
def test_weights_of_time_steps_are_keras_s(name: str, columns: int) -> None:
    random = np.random.default_rng(2)
    data = [(t, p, random.uniform(size=(len(t), columns))) for t, p, _ in batches("classes", inner=(4,))]
    agree(name, getattr(keras.metrics, name)(), {}, data, weighted=True)


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("column", "BinaryAccuracy"), ("one_hot", "CategoricalAccuracy"), ("classes", "SparseCategoricalAccuracy")],
)
def test_accuracy_is_the_one_that_keras_takes(kind: str, meant: str) -> None:
    data = batches(kind)
    assert type(accuracy_for(data[0][0].shape[1:], data[0][1].shape[1:])).__name__ == meant
    agree("accuracy", getattr(keras.metrics, meant)(), {}, data, weighted=False)


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        ("accuracy", "accuracy"),
        ("acc", "acc"),
        ("mse", "mse"),
        ("MeanSquaredError", "MeanSquaredError"),
        ("mean_squared_error", "mean_squared_error"),
    ],
)
def test_logs_call_a_metric_what_keras_calls_it(written: str, logged: str) -> None:
    metric = METRICS.parse(written)
    assert metric.log_name() == logged
    assert METRICS.parse(metric.dump()).log_name() == logged
    model: Any = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", metrics=[written])
    keras.config.set_floatx("float32")
    assert logged in model.evaluate(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0, return_dict=True)


def test_directions_are_keras_s() -> None:
    for cls in METRICS:
        theirs = getattr(keras.metrics, cls.__name__, None)
        if theirs is None:  # a metric that Keras has as a function, or R alone
            assert cls.component_name in {*FUNCTIONS, "mean_relative_error", "expr"}
            continue
        known: dict[str, Any] = {"num_classes": 3, "target_class_ids": [1]}
        parameters = inspect.signature(theirs).parameters.items()
        needed = {n: known.get(n, 0.5) for n, p in parameters if p.default is p.empty}
        direction = getattr(theirs(**needed), "_direction", None)
        if direction is not None:
            assert cls.direction == {"up": "max", "down": "min"}[direction], cls.component_name


FUNCTIONS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "huber": [("numbers", {}), ("numbers", {"delta": 0.4})],
    "binary_focal_crossentropy": [
        ("yes_no", {}),
        ("yes_no", {"gamma": 1.0, "label_smoothing": 0.1}),
        ("yes_no_logits", {"from_logits": True, "apply_class_balancing": True, "alpha": 0.4}),
    ],
    "categorical_focal_crossentropy": [
        ("one_hot", {}), ("one_hot", {"alpha": 0.5, "gamma": 1.0, "label_smoothing": 0.2}),
        ("one_hot_logits", {"from_logits": True}), ("one_hot", {"alpha": [0.1, 0.2, 0.3, 0.4, 0.5]}),
    ],
}  # fmt: skip
"""Metrics that Keras has only as functions."""


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_are_metrics_are_averaged_as_keras_does(name: str, weighted: bool) -> None:
    for kind, arguments in FUNCTIONS[name]:
        theirs = keras.metrics.MeanMetricWrapper(getattr(keras.metrics, name), name=name, **arguments)
        agree(name, theirs, arguments, batches(kind), weighted=weighted)


def test_a_relative_error_is_a_mean_of_shares() -> None:
    data = batches("numbers")
    numbers = [2.0, 0.0, 0.5, 1.0, 4.0]
    shares = np.concatenate([np.abs(t - p) * [0.5, 0, 2, 1, 0.25] for t, p, _ in data])
    for normalizer, wanted in (
        (numbers, shares.mean()),
        (4.0, np.concatenate([abs(t - p) for t, p, _ in data]).mean() / 4),
    ):
        metric = METRICS.parse({"mean_relative_error": {"normalizer": normalizer}})
        np.testing.assert_allclose(figure(metric, data, weighted=False), wanted, rtol=1e-12)
    ledger.note("metric", "mean_relative_error", "by its formula", 0.0)


def test_defaults_are_keras_s() -> None:
    for cls in METRICS:
        theirs = getattr(keras.metrics, cls.__name__, None)
        if theirs is None or cls.component_name in {"accuracy"}:
            continue
        defaults = {name: p.default for name, p in inspect.signature(theirs).parameters.items()}
        for name, field in cls.model_fields.items():
            if name == "name" or field.is_required():
                assert name == "name" or defaults[name] is inspect.Parameter.empty
                continue
            wanted = defaults[name]
            assert field.default == (tuple(wanted) if isinstance(wanted, list) else wanted), (cls.component_name, name)
