"""Metrics of overlapping regions: values over several batches equal Keras's."""

from typing import Any

import keras
import numpy as np
import pytest

from kerascli.metrics.base import METRICS
from tests.parity.test_metrics import agree, batches, figure, keras_figure

pytestmark = pytest.mark.usefixtures("keras_makes_float64")

REGIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("MeanIoU", "classes", {"num_classes": 5, "sparse_y_pred": False}),
    ("MeanIoU", "one_hot", {"num_classes": 5, "sparse_y_pred": False, "sparse_y_true": False, "ignore_class": 2}),
    ("OneHotMeanIoU", "one_hot", {"num_classes": 5}),
    ("OneHotMeanIoU", "one_hot", {"num_classes": 5, "ignore_class": 1}),
    ("OneHotIoU", "one_hot", {"num_classes": 5, "target_class_ids": [0, 2]}),
    ("OneHotIoU", "one_hot", {"num_classes": 5, "target_class_ids": [3], "ignore_class": 0}),
    ("IoU", "classes", {"num_classes": 5, "target_class_ids": [1, 3], "sparse_y_pred": False}),
    ("OneHotMeanIoU", "one_hot_numbers", {"num_classes": 5, "sparse_y_pred": True}),
    ("OneHotIoU", "one_hot_numbers", {"num_classes": 5, "target_class_ids": [1], "sparse_y_pred": True}),
    ("IoU", "one_hot", {
        "num_classes": 5, "target_class_ids": [0], "sparse_y_pred": False, "sparse_y_true": False, "ignore_class": 3,
    }),
    ("BinaryIoU", "yes_no", {}),
    ("BinaryIoU", "yes_no", {"target_class_ids": [1], "threshold": 0.3}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "arguments"), REGIONS)
def test_the_overlap_of_regions_is_keras_s(name: str, kind: str, arguments: dict[str, Any]) -> None:
    data = batches(kind, inner=(4, 3))
    theirs = getattr(keras.metrics, name)(**arguments)
    agree(name, theirs, arguments, data, weighted=False, rtol=1e-6, atol=1e-7)  # Keras divides in float32


CLASSES_FIRST: list[tuple[str, str, dict[str, Any]]] = [
    ("MeanIoU", "classes", {"num_classes": 5, "sparse_y_pred": False}),
    ("OneHotMeanIoU", "one_hot", {"num_classes": 5}),
    ("OneHotIoU", "one_hot", {"num_classes": 5, "target_class_ids": [1, 4]}),
    ("IoU", "classes", {"num_classes": 5, "target_class_ids": [0, 2], "sparse_y_pred": False}),
]


@pytest.mark.parametrize(("name", "kind", "arguments"), CLASSES_FIRST)
def test_regions_with_classes_on_the_first_axis_are_those_with_classes_on_the_last(
    name: str, kind: str, arguments: dict[str, Any]
) -> None:
    """Keras takes `axis: 1`, and then raises IndexError for the result: it sums the classes along that axis, too."""
    last = batches(kind, inner=(4, 3))
    first = [(t if kind == "classes" else np.moveaxis(t, -1, 1), np.moveaxis(p, -1, 1), w) for t, p, w in last]
    metric = METRICS.parse({name: {**arguments, "axis": 1}})
    wanted = keras_figure(getattr(keras.metrics, name)(**arguments), last, weighted=False)
    np.testing.assert_allclose(figure(metric, first, weighted=False), wanted, rtol=1e-6)  # Keras divides in float32
    theirs = getattr(keras.metrics, name)(**arguments, axis=1)
    with pytest.raises(IndexError):
        keras_figure(theirs, first, weighted=False)
