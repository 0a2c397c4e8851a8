"""Accuracy metrics: fractions of correct predictions."""

from torch import Tensor

from kerascli.foundation.shapes import PositiveInt, Shape, TensorSpec
from kerascli.losses.base import same_shape
from kerascli.losses.choice import by_shapes
from kerascli.losses.crossentropy import class_number_fault, class_numbers, one_hot_fault
from kerascli.losses.labels import Labels
from kerascli.metrics.base import MeanMetric, metric


class FractionCorrect(MeanMetric):
    """Base class of accuracy metrics: the fraction of correct predictions, for which higher values are better."""

    direction = "max"


@metric()
class BinaryAccuracy(FractionCorrect):
    """Fraction of outputs that match binary targets (0 or 1) after thresholding."""

    threshold: float = 0.5
    """Outputs above this value are predicted as 1."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred > self.threshold) == y_true


@metric()
class CategoricalAccuracy(FractionCorrect):
    """Fraction of samples whose largest output is the true class; targets are one-hot."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_true.argmax(-1) == y_pred.argmax(-1)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return one_hot_fault(self.component_name, "sparse_categorical_accuracy", target, output)


@metric()
class SparseCategoricalAccuracy(FractionCorrect):
    """Fraction of samples whose largest output is the true class; targets are integer class labels."""

    sparse_targets = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return class_numbers(y_true, y_pred) == y_pred.argmax(-1)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return class_number_fault(self.component_name, target, output)


@metric()
class TopKCategoricalAccuracy(FractionCorrect):
    """Fraction of samples whose true class is among the `k` largest outputs; targets are one-hot."""

    k: PositiveInt = 5
    """Number of largest outputs among which the true class is searched."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _in_top(y_true.argmax(-1), y_pred, self.k)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return one_hot_fault(self.component_name, "sparse_top_k_categorical_accuracy", target, output)


@metric()
class SparseTopKCategoricalAccuracy(FractionCorrect):
    """Fraction of samples whose true class is among the `k` largest outputs; targets are integer class labels."""

    sparse_targets = True

    k: PositiveInt = 5
    """Number of largest outputs among which the true class is searched."""
    from_sorted_ids: bool = False
    """Outputs are class ids in descending order of their scores; false: outputs are the scores."""

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
    """Return an error message if `output` cannot be class ids in descending order of score for `target`; else None."""
    if output.shape and same_shape(target.shape, output.shape[:-1]):
        return None
    return f"'{name}' with from_sorted_ids needs one class label per list of class ids {output}, got {target}"


def _in_top(classes: Tensor, y_pred: Tensor, k: int) -> Tensor:
    """Return a mask, True for samples whose true class is among the `k` largest outputs; ties count as correct."""
    return (y_pred > y_pred.gather(-1, classes.unsqueeze(-1))).sum(-1) < k


@metric(aliases=("acc",))
class Accuracy(FractionCorrect):
    """Binary, categorical or sparse categorical accuracy; the shapes of targets and outputs decide.

    One output unit: binary; integer class labels: sparse categorical; one-hot targets: categorical.
    """

    sparse_targets = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        selected = accuracy_for(tuple(y_true.shape[1:]), tuple(y_pred.shape[1:]))
        return selected.values(*selected.aligned(y_true, y_pred))

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return accuracy_for(target.shape, output.shape).labels(target, output)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return accuracy_for(target.shape, output.shape).check(target, output)


def accuracy_for(target: Shape, output: Shape) -> FractionCorrect:
    """Return the metric that Keras selects for 'accuracy' by the shapes, without the batch axis."""
    return by_shapes(target, output, BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy)()
