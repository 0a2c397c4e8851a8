"""Metrics give Keras's figures over several batches, and their states add up."""

import inspect
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

from kerascli.component import Invalid
from kerascli.metrics.accuracy import accuracy_for
from kerascli.metrics.base import METRICS, Metric
from kerascli.shapes import TensorSpec

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Targets, predictions, weights of samples."""


@pytest.fixture(autouse=True)
def _float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64 all through: by itself it promotes 64-bit results to 32 bits, as JAX does."""
    monkeypatch.setitem(BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


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
            "classes": (classes, softmax),
            "yes_no": (yes_no, sigmoid),
            "yes_no_logits": (yes_no, logits),
            "column": (yes_no[..., 0], sigmoid),
            "grid": (yes_no, np.round(sigmoid * 20) / 20),  # on thresholds
        }[kind]
        # eighths: exact in float32, in which Keras adds the weights of outcomes
        out.append((true, pred, random.integers(1, 17, size=size) / 8))
    return out


def figure(metric: Metric, data: list[Batch], *, weighted: bool) -> np.ndarray:
    """Our figure: states of batches added."""
    states = [
        metric.measure(torch.tensor(t), torch.tensor(p), torch.tensor(w) if weighted else None) for t, p, w in data
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
    ("CategoricalCrossentropy", "one_hot", {}),
    ("SparseCategoricalCrossentropy", "classes", {}),
    ("Precision", "yes_no", {}),
    ("Precision", "grid", {"thresholds": 0.3}),
    ("Precision", "yes_no", {"top_k": 2}),
    ("Precision", "yes_no", {"class_id": 3, "thresholds": 0.4}),
    ("Precision", "yes_no", {"class_id": 1, "top_k": 3}),
    ("Recall", "yes_no", {}),
    ("Recall", "yes_no", {"top_k": 2}),
    ("Recall", "column", {}),
    ("TruePositives", "yes_no", {}),
    ("TrueNegatives", "yes_no", {"thresholds": 0.2}),
    ("FalsePositives", "grid", {}),
    ("FalseNegatives", "yes_no", {}),
    ("SensitivityAtSpecificity", "yes_no", {"specificity": 0.6}),
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
    ("AUC", "yes_no", {"multi_label": True, "curve": "PR", "label_weights": [1.0, 2.0, 0.5, 1.0, 0.0]}),
    ("AUC", "yes_no", {"label_weights": [1.0, 2.0, 0.5, 1.0, 0.0]}),
    ("F1Score", "one_hot", {"average": "macro"}),
    ("F1Score", "yes_no", {"average": "weighted", "threshold": 0.4}),
    ("FBetaScore", "yes_no", {"average": "micro", "beta": 2.0, "threshold": 0.5}),
    ("R2Score", "numbers", {}),
    ("R2Score", "numbers", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "kind", "arguments"), CASES)
def test_the_figure_of_three_batches_is_keras_s(
    name: str, kind: str, arguments: dict[str, Any], weighted: bool
) -> None:
    data = batches(kind)
    ours = figure(METRICS.parse({name: arguments}), data, weighted=weighted)
    theirs = keras_figure(getattr(keras.metrics, name)(**arguments), data, weighted=weighted)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


REGIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("MeanIoU", "classes", {"num_classes": 5, "sparse_y_pred": False}),
    ("MeanIoU", "one_hot", {"num_classes": 5, "sparse_y_pred": False, "sparse_y_true": False, "ignore_class": 2}),
    ("IoU", "classes", {"num_classes": 5, "target_class_ids": [1, 3], "sparse_y_pred": False}),
    ("BinaryIoU", "yes_no", {}),
    ("BinaryIoU", "yes_no", {"target_class_ids": [1], "threshold": 0.3}),
]


@pytest.mark.parametrize(("name", "kind", "arguments"), REGIONS)
def test_the_overlap_of_regions_is_keras_s(name: str, kind: str, arguments: dict[str, Any]) -> None:
    data = batches(kind, inner=(4, 3))
    ours = figure(METRICS.parse({name: arguments}), data, weighted=False)
    theirs = keras_figure(getattr(keras.metrics, name)(**arguments), data, weighted=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)  # Keras divides in float32


OVER_TIME = [case for case in CASES if case[0] not in {"F1Score", "FBetaScore", "R2Score", "AUC"}] + [
    ("AUC", "yes_no", {})
]


@pytest.mark.parametrize(("name", "kind", "arguments"), OVER_TIME)
def test_time_steps_are_averaged_as_in_keras(name: str, kind: str, arguments: dict[str, Any]) -> None:
    data = batches(kind, inner=(4,))
    ours = figure(METRICS.parse({name: arguments}), data, weighted=False)
    theirs = keras_figure(getattr(keras.metrics, name)(**arguments), data, weighted=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"])
@pytest.mark.parametrize("columns", [1, 4])
def test_weights_of_time_steps_are_keras_s(name: str, columns: int) -> None:
    random = np.random.default_rng(2)
    data = [(t, p, random.uniform(size=(len(t), columns))) for t, p, _ in batches("classes", inner=(4,))]
    ours = figure(METRICS.parse(name), data, weighted=True)
    theirs = keras_figure(getattr(keras.metrics, name)(), data, weighted=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("column", "BinaryAccuracy"), ("one_hot", "CategoricalAccuracy"), ("classes", "SparseCategoricalAccuracy")],
)
def test_accuracy_is_the_one_that_keras_takes(kind: str, meant: str) -> None:
    data = batches(kind)
    assert type(accuracy_for(data[0][0].shape[1:], data[0][1].shape[1:])).__name__ == meant
    ours = figure(METRICS.parse("accuracy"), data, weighted=False)
    theirs = keras_figure(getattr(keras.metrics, meant)(), data, weighted=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


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


def test_a_name_of_one_s_own_comes_first_and_r_s_prefix_is_dropped() -> None:
    assert METRICS.parse({"acc": {"name": "hits"}}).log_name() == "hits"
    assert METRICS.parse("metric_auc").log_name() == "auc"
    assert METRICS.parse({"top_k_categorical_accuracy": 3}).dump() == {
        "top_k_categorical_accuracy": {"name": None, "k": 3}
    }


def test_directions_are_keras_s() -> None:
    for cls in METRICS:
        if cls.component_name == "expr":  # a formula: ours alone
            continue
        theirs = getattr(keras.metrics, cls.__name__)
        known: dict[str, Any] = {"num_classes": 3, "target_class_ids": [1]}
        parameters = inspect.signature(theirs).parameters.items()
        needed = {n: known.get(n, 0.5) for n, p in parameters if p.default is p.empty}
        direction = getattr(theirs(**needed), "_direction", None)
        if direction is not None:
            assert cls.direction == {"up": "max", "down": "min"}[direction], cls.component_name


def test_no_rows_and_no_weight_give_zero() -> None:
    for name in ("accuracy", "mse", "precision", "auc"):
        metric = METRICS.parse(name)
        state = metric.measure(torch.ones(2, 1), torch.ones(2, 1), torch.zeros(2))
        assert metric.result(state).item() == 0


def test_a_prediction_that_is_no_number_is_above_no_threshold() -> None:
    nan = torch.tensor([[float("nan")], [0.9]])
    for name, figure in (("recall", 0.5), ("true_positives", 1.0)):
        metric = METRICS.parse(name)
        assert metric.result(metric.measure(torch.ones(2, 1), nan, None)).item() == figure
    auc = METRICS.parse("auc")
    assert np.isfinite(auc.result(auc.measure(torch.tensor([[1.0], [0.0]]), nan, None)).item())


def test_shapes_that_do_not_fit_are_refused_and_never_broadcast() -> None:
    for name in ("binary_accuracy", "mse", "rmse", "precision", "cosine_similarity"):
        with pytest.raises(ValueError, match="do not match"):
            METRICS.parse(name).measure(torch.ones(3, 1), torch.ones(3, 2), None)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"precision": {"thresholds": [0.2, 0.5]}}, "expected one threshold, got 2; use the metric once for each"),
        ({"precision": {"thresholds": 1.5}}, "must be at most 1, got 1.5"),
        ("f1_score", "f1_score needs 'average'"),
        ({"auc": {"curve": "prx"}}, "expected ROC or PR"),
        ({"auc": {"num_labels": 3}}, "'num_labels' is for multi_label: true"),
        ({"iou": {"num_classes": 3, "target_class_ids": [3]}}, "expected class numbers from 0 to 2"),
        ({"auc": {"thresholds": [0.5, 2.0]}}, "expected numbers from 0 to 1, got 2.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(written: Any, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        METRICS.parse(written)


@pytest.mark.parametrize(
    ("written", "target", "output", "text"),
    [
        (
            "categorical_accuracy", (), (10,),
            "'categorical_accuracy' needs one-hot targets of shape (None, 10), got class numbers (None,); "
            "use 'sparse_categorical_accuracy' or add to_categorical: 10 to the target",
        ),
        ("precision", (3,), (4,), "'precision' needs targets of the output's shape (None, 4), got (None, 3)"),
        ({"recall": {"class_id": 4}}, (4,), (4,), "'recall': class_id is 4, but the output (None, 4) has 4 classes"),
        ({"precision": {"top_k": 9}}, (4,), (4,), "'precision': top_k is 9, but the output (None, 4) has 4 classes"),
        ({"auc": {"multi_label": True, "num_labels": 3}}, (4,), (4,),
         "'auc' is told of 3 labels, but the output (None, 4) has 4"),
        ("accuracy", (), (10,), None),
        ("accuracy", (10,), (10,), None),
        ("accuracy", (), (1,), None),
        ("mse", (1,), (), None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(written: Any, target: Any, output: Any, text: str | None) -> None:
    assert METRICS.parse(written).check(TensorSpec(target), TensorSpec(output)) == text
