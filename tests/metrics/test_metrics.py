"""Metrics: names, shapes and arguments; their values are compared with Keras's in tests/parity."""

from typing import Any

import numpy as np
import pytest
import torch

from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.metrics.base import METRICS
from kerascli.metrics.distances import Huber
from kerascli.metrics.operating_points import RecallAtPrecision
from kerascli.metrics.precision_recall import TruePositives


def test_a_name_of_one_s_own_comes_first_and_r_s_prefix_is_dropped() -> None:
    assert METRICS.parse({"acc": {"name": "hits"}}).log_name() == "hits"
    assert METRICS.parse("metric_auc").log_name() == "auc"
    assert METRICS.parse({"top_k_categorical_accuracy": 3}).dump() == {
        "top_k_categorical_accuracy": {"name": None, "k": 3}
    }


def test_no_rows_and_no_weight_give_zero() -> None:
    for name in ("accuracy", "mse", "precision", "auc"):
        metric = METRICS.parse(name)
        state = metric(torch.ones(2, 1), torch.ones(2, 1), sample_weight=torch.zeros(2))
        assert metric.result(state).item() == 0


def test_a_prediction_that_is_no_number_is_above_no_threshold() -> None:
    nan = torch.tensor([[float("nan")], [0.9]])
    for name, figure in (("recall", 0.5), ("true_positives", 1.0)):
        metric = METRICS.parse(name)
        assert metric.result(metric(torch.ones(2, 1), nan)).item() == figure
    auc = METRICS.parse("auc")
    assert np.isfinite(auc.result(auc(torch.tensor([[1.0], [0.0]]), nan)).item())


def test_shapes_that_do_not_fit_are_refused_and_never_broadcast() -> None:
    for name in ("binary_accuracy", "mse", "rmse", "precision", "cosine_similarity"):
        with pytest.raises(DataError, match="do not match"):
            METRICS.parse(name)(torch.ones(3, 1), torch.ones(3, 2))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"precision": {"thresholds": 1.5}}, "must be at most 1, got 1.5"),
        ({"recall": {"thresholds": [0.5, -1]}}, "must be at least 0, got -1"),
        ({"true_positives": {"thresholds": []}}, "got an empty list"),
        ({"f1_score": {"average": "mean"}}, "expected micro, macro or weighted"),
        ({"auc": {"curve": "prx"}}, "expected ROC or PR"),
        ({"auc": {"num_labels": 3}}, "'num_labels' is for multi_label: true"),
        ({"iou": {"num_classes": 3, "target_class_ids": [3]}}, "expected class labels from 0 to 2"),
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
            "'categorical_accuracy' needs one-hot targets of shape (None, 10), got integer class labels (None,); "
            "use 'sparse_categorical_accuracy' or add to_categorical: 10 to the target",
        ),
        ("precision", (3,), (4,), "'precision' needs targets of the output's shape (None, 4), got (None, 3)"),
        ({"recall": {"class_id": 4}}, (4,), (4,), "'recall': class_id is 4, but the output (None, 4) has 4 classes"),
        ({"precision": {"top_k": 9}}, (4,), (4,), "'precision': top_k is 9, but the output (None, 4) has 4 classes"),
        ({"auc": {"multi_label": True, "num_labels": 3}}, (4,), (4,),
         "'auc' is configured for 3 labels, but the output (None, 4) has 4"),
        ("accuracy", (), (10,), None),
        ("accuracy", (10,), (10,), None),
        ("accuracy", (), (1,), None),
        ("mse", (1,), (), None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_reported(written: Any, target: Any, output: Any, text: str | None) -> None:
    assert METRICS.parse(written).check(TensorSpec(target), TensorSpec(output)) == text


def test_in_a_formula_labels_meet_a_column_of_outputs_row_by_row() -> None:
    metric = METRICS.parse({"expr": "mean(equal(y_true, cast(y_pred < 0.5, 'float32')), axis=-1)"})
    close = torch.tensor([[0.1], [0.9], [0.2], [0.8]])
    state = metric(torch.tensor([1, 0, 0, 0], dtype=torch.uint8), close)
    assert metric.result(state).item() == 0.75


def test_outputs_of_integers_are_measured_as_the_numbers_they_are() -> None:
    """In the dtype of the output 10 - 200 would be 66, and a target of 2.5 would be 2."""
    random = torch.Generator().manual_seed(0)
    targets, weight = torch.rand(6, 4, generator=random) * 300, torch.tensor([200, 0, 1, 255, 9, 128])
    outputs = torch.randint(0, 256, (6, 4), generator=random)
    for name in ("mse", "mae", "mape", "msle", "rmse", "huber", "log_cosh", "cosine_similarity", "hinge", "r2_score"):
        metric = METRICS.parse(name)
        expected = metric(targets.double(), outputs.double(), sample_weight=weight.double())
        for dtype in (torch.uint8, torch.int32, torch.int64):
            state = metric(targets, outputs.to(dtype), sample_weight=weight.to(dtype).abs())
            torch.testing.assert_close(state, expected, rtol=1e-5, atol=0, msg=name, check_dtype=False)


def test_a_metric_that_extends_another_one_keeps_its_meaning() -> None:
    """As a plugin may define it, by another name."""

    class BestRecall(RecallAtPrecision):
        component_name = "best_recall"

    class Hits(TruePositives):
        component_name = "hits"

    class Soft(Huber):
        component_name = "soft"

    y_true, y_pred = torch.tensor([[1.0], [0.0], [1.0]]), torch.tensor([[0.9], [0.4], [0.6]])
    known = RecallAtPrecision(precision=0.5), TruePositives(), Huber()
    for own, other in zip((BestRecall(precision=0.5), Hits(), Soft()), known, strict=True):
        assert own.result(own(y_true, y_pred)) == other.result(other(y_true, y_pred))
