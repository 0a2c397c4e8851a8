"""Categorical, sparse categorical, generalized and binary cross-entropy."""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import ALONG, Fraction, TensorSpec
from kerascli.language.component import Component
from kerascli.losses.base import Loss, loss, same_shape
from kerascli.losses.labels import YES_OR_NO, Labels, class_labels

EPSILON = 1e-7
"""Value of keras.config.epsilon(); probabilities are clipped to [EPSILON, 1 - EPSILON]."""

Axis = Annotated[int, Field(ge=-8, le=8), ALONG]
Axes = Annotated[Axis | Annotated[tuple[Axis, ...], Field(min_length=1, strict=False)], ALONG]
FromLogits = Annotated[
    bool, Field(description="Predictions are logits (no activation in the last layer), not probabilities.")
]
IgnoreClass = Annotated[int | None, Field(description="Class label whose targets are ignored; null: no class.")]


def probabilities(y_pred: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """Return predictions normalized to a sum of 1 over the classes, then clipped to [EPSILON, 1 - EPSILON]."""
    return clipped(y_pred / y_pred.sum(dim=axis, keepdim=True))


def clipped(p: Tensor) -> Tensor:
    """Clip probabilities to [EPSILON, 1 - EPSILON] by hardtanh, whose gradient takes one kernel; clamp's takes four."""
    return F.hardtanh(p, EPSILON, 1 - EPSILON)


def _log_probabilities(y_pred: Tensor, axis: int | tuple[int, ...], from_logits: bool) -> Tensor:
    return log_softmax(y_pred, axis) if from_logits else probabilities(y_pred, axis).log()


def log_softmax(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """Compute log-probabilities along `axis`; over several axes, the probabilities sum to 1 jointly."""
    return F.log_softmax(x, dim=axis) if isinstance(axis, int) else x - x.logsumexp(axis, keepdim=True)


def smoothed(y_true: Tensor, label_smoothing: float, classes: int) -> Tensor:
    """Return targets in which the fraction `label_smoothing` is spread evenly over the classes."""
    return y_true * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else y_true


_ONE_OUTPUT = (
    "'{}' needs one output per class, got {}; use 'binary_crossentropy' for two classes, or units: 3 for three"
)


def one_hot_fault(name: str, sparse: str | None, target: TensorSpec, output: TensorSpec) -> str | None:
    """Return an error message if `target` cannot be one-hot targets of `output`; else None."""
    if not output.shape or output.shape[-1] == 1:
        return _ONE_OUTPUT.format(name, output)
    if len(target.shape) == len(output.shape) and same_shape(target.shape, output.shape):
        return None
    if _are_class_numbers(target, output):
        classes = output.shape[-1]
        other = f"use '{sparse}' or " if sparse else ""
        remedy = f"{other}add to_categorical: {classes if classes is not None else '...'} to the target"
        return f"'{name}' needs one-hot targets of shape {output}, got integer class labels {target}; {remedy}"
    text = f"'{name}' needs one-hot targets of the output's shape {output}, got {target}"
    is_wider = len(target.shape) == len(output.shape) and same_shape(target.shape[:-1], output.shape[:-1])
    return f"{text}; the last layer needs units: {target.shape[-1]}" if is_wider else text


def _are_class_numbers(target: TensorSpec, output: TensorSpec) -> bool:
    return same_shape(target.shape, output.shape[:-1])


class SmoothedArguments(Component):
    """Mixin with the last arguments of cross-entropies whose targets can be smoothed, losses and metrics."""

    from_logits: FromLogits = False
    label_smoothing: Fraction = 0.0
    """Fraction by which targets are moved from 0 and 1 towards the uniform distribution."""
    axis: Axes = -1


@loss()
class CategoricalCrossentropy(SmoothedArguments, Loss):
    """Cross-entropy of mutually exclusive classes with one-hot targets: -sum(y_true * log(y_pred)) over the classes."""

    predicts = "classes"

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true = smoothed(y_true, self.label_smoothing, y_true.shape[-1])
        return -(y_true * _log_probabilities(y_pred, self.axis, self.from_logits)).sum(dim=self.axis)

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return one_hot_fault(self.component_name, "sparse_categorical_crossentropy", target, output)


class SparseArguments(Component):
    """Mixin with the arguments of `sparse_categorical_crossentropy`, the loss and the metric."""

    from_logits: FromLogits = False
    ignore_class: IgnoreClass = None
    axis: Axis = -1


@loss()
class SparseCategoricalCrossentropy(SparseArguments, Loss):
    """Cross-entropy of mutually exclusive classes with integer class labels: -log of the true class's probability."""

    predicts = "classes"
    sparse_targets = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        classes = class_numbers(y_true, y_pred, self.axis)
        ignored = None if self.ignore_class is None else classes == self.ignore_class
        if ignored is not None:
            classes = classes.masked_fill(ignored, 0)
            y_pred = y_pred.masked_fill(ignored.unsqueeze(self.axis), 1.0)
        log_p = _log_probabilities(y_pred, self.axis, self.from_logits)
        values = -log_p.gather(self.axis, classes.unsqueeze(self.axis)).squeeze(self.axis)
        return values if ignored is None else values.masked_fill(ignored, 0.0)

    def counted(self, y_true: Tensor) -> Tensor | None:
        return None if self.ignore_class is None else y_true != self.ignore_class

    def adds_up(self) -> bool:
        return super().adds_up() and self.ignore_class is None

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels:
        return class_labels(output, self.axis, self.ignore_class)

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return class_number_fault(self.component_name, target, output, self.axis)


@loss()
class CategoricalGeneralizedCrossEntropy(Loss):
    """Generalized cross-entropy (Zhang and Sabuncu, 2018), robust to wrong labels: (1 - p ** q) / q.

    p is the predicted probability of the true class. Targets are integer class labels, outputs probabilities.
    """

    sparse_targets = True

    q: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Robustness to wrong labels, between 0 and 1: near 0 the loss is the cross-entropy, near 1 an absolute error."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        p = y_pred.gather(-1, class_numbers(y_true, y_pred).unsqueeze(-1)).squeeze(-1)
        return (1 - p**self.q) / self.q

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return class_number_fault(self.component_name, target, output)


@loss()
class BinaryCrossentropy(SmoothedArguments, Loss):
    """Binary cross-entropy: mean of -(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred)) along `axis`.

    For targets of 0 or 1: one binary output, or several independent labels (multi-hot).
    """

    predicts = "labels"

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true = smoothed(y_true, self.label_smoothing, classes=2)
        return binary_crossentropy(y_true, y_pred, from_logits=self.from_logits).mean(dim=self.axis)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels:
        return YES_OR_NO

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        fault = super().check_shapes(target, output)
        if fault is None or not output.shape or not _are_class_numbers(target, output):
            return fault
        name, units = self.component_name, output.shape[-1]
        remedy = f"use 'sparse_categorical_crossentropy' for one of {units} classes, or one unit for two"
        return f"'{name}' needs targets of the output's shape {output}, got integer class labels {target}; {remedy}"


def binary_crossentropy(y_true: Tensor, y_pred: Tensor, *, from_logits: bool) -> Tensor:
    """Compute the binary cross-entropy of each element; probabilities are clipped as in Keras, and NaN gives NaN."""
    if from_logits:
        return F.binary_cross_entropy_with_logits(y_pred, y_true, reduction="none")
    p = clipped(y_pred)
    losses = F.binary_cross_entropy(p.nan_to_num(nan=0.5), y_true, reduction="none")  # on NaN it raises, or stops CUDA
    return losses + p * 0


def class_numbers(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Tensor:
    """Return integer class labels (N, *) as int64, from (N, *) or (N, *, 1).

    Raises DataError if they do not match predictions (N, *, C).
    """
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = y_true.squeeze(axis)
    expected = list(y_pred.shape)
    del expected[axis]
    if list(y_true.shape) != expected:
        shapes = f"{tuple(y_true.shape)} and predictions of shape {tuple(y_pred.shape)}"
        raise DataError(f"class labels of shape {shapes} do not match")
    return y_true.long()


def class_number_fault(name: str, target: TensorSpec, output: TensorSpec, axis: int = -1) -> str | None:
    """Return an error message if `target` cannot be integer class labels of `output`; else None."""
    if not output.shape or output.shape[-1] == 1:
        return _ONE_OUTPUT.format(name, output)
    sizes = list(output.shape)
    del sizes[axis if axis < 0 else axis - 1]  # `axis` counts the batch axis
    expected = TensorSpec(tuple(sizes))
    if same_shape(target.shape, expected.shape) and len(target.shape) >= len(expected.shape):
        return None
    if len(target.shape) == len(output.shape) and same_shape(target.shape[:-1], output.shape[:-1]):
        other = name.removeprefix("sparse_")
        remedy = f"use '{other}' or integer class labels, without a one-hot encoding, as the target"
        return f"'{name}' needs integer class labels {expected}, got one-hot targets {target}; {remedy}"
    return f"'{name}' needs integer class labels of shape {expected} for an output of shape {output}, got {target}"
