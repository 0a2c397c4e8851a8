"""Intersection-over-union metrics: TP / (TP + FP + FN) of each class."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from kerascli.foundation.shapes import Ints, Shape, TensorSpec
from kerascli.losses.base import same_shape
from kerascli.losses.crossentropy import Axis, IgnoreClass
from kerascli.losses.labels import Labels
from kerascli.losses.ranks import aligned_pair
from kerascli.metrics.base import Metric, metric
from kerascli.metrics.confusion import sums_by_cell

_EPSILON, _LEAST = 1e-7, 1e-9
Classes = Annotated[int, Field(ge=2, le=10_000)]


class _IoUMetric(Metric):
    """Base class of IoU metrics, whose state is a confusion matrix (true class, predicted class).

    Labels outside the classes are ignored, as in Keras.
    """

    direction = "max"

    def count(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None, classes: int) -> Tensor:
        y_true, y_pred = y_true.long(), y_pred.long()
        inside = (y_true >= 0) & (y_true < classes) & (y_pred >= 0) & (y_pred < classes)
        cell = torch.where(inside, y_true * classes + y_pred, classes * classes)  # the last cell is not counted
        return sums_by_cell(cell, sample_weight, classes * classes + 1)[:-1].view(classes, classes)

    def result(self, state: Tensor) -> Tensor:
        both, either = self._overlap(state)
        occurs = either > _LEAST
        return torch.where(occurs, both / (either + _EPSILON), 0.0).sum() / (occurs.sum() + _EPSILON)

    def is_defined(self, state: Tensor) -> Tensor:
        return (self._overlap(state)[1] > _LEAST).any()

    def _overlap(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the counts of (both target and prediction, either of them) of each averaged class."""
        both, classes = state.diagonal(), getattr(self, "target_class_ids", range(len(state)))  # mean_iou: all
        return both[[*classes]], (state.sum(0) + state.sum(1) - both)[[*classes]]


class _MultiClassIoU(_IoUMetric):
    """Base class of IoU metrics of several classes, given as integer labels or as one value per class along `axis`."""

    num_classes: Classes
    """Number of classes."""
    ignore_class: IgnoreClass = None
    sparse_y_pred: bool
    """Predictions are integer class labels; false: predictions are the argmax of one value per class on `axis`."""
    axis: Axis = -1

    def true_are_numbers(self) -> bool:
        """Return True if targets are integer class labels, False if they have one value per class."""
        return getattr(self, "sparse_y_true", False)  # no argument of the metrics with one-hot targets

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return Labels(words="class labels are integers") if self.true_are_numbers() else None

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions as integer class labels of one shape.

        Values per class are replaced by their argmax.
        """
        y_true = y_true if self.true_are_numbers() else y_true.argmax(self.axis)
        y_pred = y_pred if self.sparse_y_pred else y_pred.argmax(self.axis)
        return aligned_pair(y_true, y_pred, weight_rank)

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if self.ignore_class is not None:
            y_true = torch.where(y_true == self.ignore_class, -1, y_true)
        return self.count(y_true, y_pred, sample_weight, self.num_classes)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        numbers: list[Shape] = []
        for what, spec, sparse in (
            ("targets", target, self.true_are_numbers()), ("output", output, self.sparse_y_pred)
        ):  # fmt: skip
            shape = spec.shape if sparse else self._without_classes(spec.shape)
            if shape is None:
                needed = f"one value for each of {self.num_classes} classes on axis {self.axis}"
                return f"'{self.component_name}' needs {needed}, got {what} {spec}"
            numbers.append(shape)
        if same_shape(*numbers):
            return None
        return f"'{self.component_name}' needs targets and outputs of the same positions, got {target} and {output}"

    def _without_classes(self, shape: Shape) -> Shape | None:
        """Return a shape without the class axis `axis`; None if the shape has no such axis of size `num_classes`."""
        sizes = list(shape)
        axis = self.axis if self.axis < 0 else self.axis - 1  # `axis` counts the batch axis
        if not -len(sizes) <= axis < len(sizes) or sizes[axis] not in (self.num_classes, None):
            return None
        del sizes[axis]
        return tuple(sizes)


class _SelectedClassesIoU(_MultiClassIoU):
    """Base class of metrics that are the mean IoU of the classes `target_class_ids` only."""

    target_class_ids: Ints
    """Labels of the classes to average over."""

    @model_validator(mode="after")
    def _are_classes(self) -> Self:
        if not self.target_class_ids or not all(0 <= i < self.num_classes for i in self.target_class_ids):
            ids = list(self.target_class_ids)
            raise ValueError(f"target_class_ids: expected class labels from 0 to {self.num_classes - 1}, got {ids}")
        return self


class _SparseIoU(_MultiClassIoU):
    """Base class of IoU metrics whose targets and predictions are integer class labels unless configured otherwise."""

    sparse_y_true: bool = True
    """Targets are integer class labels; false: they are one-hot, with one value per class on `axis`."""
    sparse_y_pred: bool = True

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if self.sparse_y_pred and output.shape and output.shape[-1] == self.num_classes != 1:
            return f"'{self.component_name}' takes the output {output} as class labels; set sparse_y_pred: false"
        return super().check(target, output)


class _OneHotTargetsIoU(_MultiClassIoU):
    """Base class of IoU metrics with one-hot targets; by default, predictions have one value per class."""

    sparse_y_pred: bool = False


@metric(name="mean_iou")
class MeanIoU(_SparseIoU):
    """Mean intersection over union of all classes: TP / (TP + FP + FN), averaged over the classes that occur.

    Targets and predictions are integer class labels; an output with one value per class needs `sparse_y_pred: false`.
    """


@metric(name="iou")
class IoU(_SparseIoU, _SelectedClassesIoU):
    """Mean intersection over union of the classes `target_class_ids`: TP / (TP + FP + FN).

    Targets and predictions are integer class labels; an output with one value per class needs `sparse_y_pred: false`.
    """


@metric(name="one_hot_mean_iou")
class OneHotMeanIoU(_OneHotTargetsIoU):
    """Mean intersection over union of all classes, TP / (TP + FP + FN), with one-hot targets."""


@metric(name="one_hot_iou")
class OneHotIoU(_OneHotTargetsIoU, _SelectedClassesIoU):
    """Mean intersection over union of the classes `target_class_ids`, TP / (TP + FP + FN), with one-hot targets."""


@metric(name="binary_iou")
class BinaryIoU(_IoUMetric):
    """Mean intersection over union, TP / (TP + FP + FN), of the classes 0 and 1, separated by `threshold`."""

    target_class_ids: Ints = (0, 1)
    """Labels of the classes to average over: 0, 1 or both."""
    threshold: float = 0.5
    """Outputs of at least this value are predicted as class 1, the others as class 0."""

    @model_validator(mode="after")
    def _are_classes(self) -> Self:
        if not self.target_class_ids or not set(self.target_class_ids) <= {0, 1}:
            raise ValueError(f"target_class_ids: expected 0, 1 or both, got {list(self.target_class_ids)}")
        return self

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels:
        return Labels(words="targets are 0 or 1")

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        return self.count(y_true, y_pred >= self.threshold, sample_weight, 2)
