"""Accuracies: the share of predictions that name the right class."""

from torch import Tensor

from kerascli.losses.base import same_shape
from kerascli.losses.crossentropy import class_number_fault, class_numbers, one_hot_fault
from kerascli.losses.labels import Labels
from kerascli.metrics.base import MeanMetric, metric, shape_fault
from kerascli.shapes import PositiveInt, Shape, TensorSpec


class ShareRight(MeanMetric):
    """A mean of hits; more is better."""

    direction = "max"


@metric()
class BinaryAccuracy(ShareRight):
    """How often a probability is on the right side of the threshold."""

    threshold: float = 0.5
    """From which value on a prediction counts as positive."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred > self.threshold) == y_true

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return shape_fault(self.component_name, target, output)


@metric()
class CategoricalAccuracy(ShareRight):
    """How often the greatest output is the target's class; targets are one-hot."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_true.argmax(-1) == y_pred.argmax(-1)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return one_hot_fault(self.component_name, "sparse_categorical_accuracy", target, output)


@metric()
class SparseCategoricalAccuracy(ShareRight):
    """How often the greatest output is the target's class; targets are class numbers."""

    sparse_targets = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return class_numbers(y_true, y_pred) == y_pred.argmax(-1)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return class_number_fault(self.component_name, target, output)


@metric()
class TopKCategoricalAccuracy(ShareRight):
    """How often the target's class is among the `k` greatest outputs; targets are one-hot."""

    k: PositiveInt = 5
    """How many of the highest predictions count."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _in_top(y_true.argmax(-1), y_pred, self.k)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return one_hot_fault(self.component_name, "sparse_top_k_categorical_accuracy", target, output)


@metric()
class SparseTopKCategoricalAccuracy(ShareRight):
    """How often the target's class is among the `k` greatest outputs; targets are class numbers."""

    sparse_targets = True

    k: PositiveInt = 5
    """How many of the highest predictions count."""
    from_sorted_ids: bool = False
    """The outputs are ids of classes, the one with the highest score first, not scores."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self.from_sorted_ids:
            return (class_numbers(y_true, y_pred).unsqueeze(-1) == y_pred[..., : self.k]).any(-1)
        return _in_top(class_numbers(y_true, y_pred), y_pred, self.k)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return None if self.from_sorted_ids else super().labels(target, output)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if self.from_sorted_ids:
            return _ids_fault(self.component_name, target, output)
        return class_number_fault(self.component_name, target, output)


def _ids_fault(name: str, target: TensorSpec, output: TensorSpec) -> str | None:
    """Return what keeps `output`, ids of classes in the order of their scores, from being compared with `target`."""
    if output.shape and same_shape(target.shape, output.shape[:-1]):
        return None
    return f"'{name}' with from_sorted_ids needs a class number for each list of ids {output}, got {target}"


def _in_top(classes: Tensor, y_pred: Tensor, k: int) -> Tensor:
    """Fewer than `k` outputs are greater than that of the class; ties count as in."""
    own = y_pred.gather(-1, classes.unsqueeze(-1))
    return (y_pred > own).sum(-1) < k


@metric(aliases=("acc",))
class Accuracy(ShareRight):
    """Binary, categorical or sparse categorical accuracy: whichever the shapes call for."""

    sparse_targets = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        meant = accuracy_for(tuple(y_true.shape[1:]), tuple(y_pred.shape[1:]))
        return meant.values(*meant.aligned(y_true, y_pred))

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return accuracy_for(target.shape, output.shape).labels(target, output)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return accuracy_for(target.shape, output.shape).check(target, output)


def accuracy_for(target: Shape, output: Shape) -> ShareRight:
    """What Keras takes 'accuracy' for (keras/src/trainers/compile_utils.py); shapes without the batch axis."""
    if not output or output[-1] == 1:
        return BinaryAccuracy()
    if len(target) < len(output) or target[-1] == 1:
        return SparseCategoricalAccuracy()
    return CategoricalAccuracy()
