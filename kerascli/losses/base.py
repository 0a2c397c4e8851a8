"""What a loss is: a value for each sample, reduced as Keras reduces."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from kerascli.component import Component, Registry
from kerascli.losses.labels import Labels, class_labels
from kerascli.losses.ranks import aligned_pair, axes_fault, axes_of, match_ranks, spread
from kerascli.shapes import Shape, TensorSpec

Reduction = Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"]


class Loss(Component):
    """The distance of predictions from targets; `values` is what a concrete loss defines."""

    reduction: Reduction = "sum_over_batch_size"
    """How the values of the samples become one figure."""

    predicts: ClassVar[Literal["values", "classes", "labels"]] = "values"
    """What predictions are: values, scores of classes of which one is true, or of labels of which several may be."""
    sparse_targets: ClassVar[bool] = False
    """Targets are class numbers, one fewer axis than the predictions (or a last axis of 1)."""

    @abstractmethod
    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value a sample (and time step, pixel ...): the last axis of the predictions is gone.

        Both have one shape and dtype: (N, *, F), F is 1 for a number a sample. With `sparse_targets` they are as they
        come, targets (N, *) or (N, *, 1).
        """

    def counted(self, y_true: Tensor) -> Tensor | None:
        """Which values count, where a loss leaves some out; None: all."""
        return None

    def adds_up(self) -> bool:
        """Whether the mean over all rows is the mean of batches' means, however rows are put into batches."""
        return self.reduction == "sum_over_batch_size"

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions as `values` takes them: of one dtype and shape, or as class numbers.

        Half precision is lifted to float32, (N,) meets (N, 1) as (N, 1). Raises DataError where shapes do not fit.
        """
        y_pred = y_pred if y_pred.dtype == torch.float64 else y_pred.to(torch.float32)
        return (y_true, y_pred) if self.sparse_targets else aligned_pair(y_true.to(y_pred.dtype), y_pred, weight_rank)

    def sample_values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """`values` of tensors as they come."""
        return self.values(*self.aligned(y_true, y_pred))

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, *, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The reduced loss, a scalar (per value with reduction 'none').

        `sample_weight` and `mask` (true: counts) have the leading axes of the values: (N,) or (N, T) ...
        """
        y_true, y_pred = self.aligned(y_true, y_pred, axes_of(sample_weight, mask))
        values = self.values(y_true, y_pred)
        counted = self.counted(y_true)
        if counted is not None:
            counted = counted.reshape(values.shape)
            mask = counted if mask is None else mask & counted
        if mask is not None and values.ndim == 0:
            spread(mask, values, "a mask")  # what it leaves out is in the value already
        weight = _merged_weight(sample_weight, mask, values.dtype, self.reduction)
        return _reduced(values, weight, self.reduction)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        """Which labels of classes targets may be; None where they are other numbers."""
        return class_labels(output) if self.sparse_targets else None

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        """What does not fit (in words that name the remedy), or None. `validate` adds the place."""
        if self.reduction == "none":
            return f"'{self.component_name}' with reduction 'none' gives no single figure to train on; leave it out"
        if target.dtype == "string":
            return f"'{self.component_name}' needs numbers, got text; add string_lookup to the target's pipeline"
        return axes_fault(self, output) or self.check_shapes(target, output)

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        """The part of `check` that is about shapes; here: the two are the same, but for a last axis of 1."""
        if same_shape(target.shape, output.shape):
            return None
        name = self.component_name
        return f"'{name}' needs targets of the output's shape {output}, got {target}; change one of them"

    @classmethod
    def first_argument(cls) -> str | None:
        return next((name for name in cls.model_fields if name != "reduction"), "reduction")


def same_shape(target: Shape, output: Shape) -> bool:
    """Equal where both are known, once a last axis of 1 that only one of them has is left out."""
    if len(target) == len(output) + 1 and target[-1] == 1:
        target = target[:-1]
    elif len(output) == len(target) + 1 and output[-1] == 1:
        output = output[:-1]
    return len(target) == len(output) and all(
        a == b or a is None or b is None for a, b in zip(target, output, strict=True)
    )


def _merged_weight(
    sample_weight: Tensor | None, mask: Tensor | None, dtype: torch.dtype, reduction: Reduction
) -> Tensor | None:
    """Weights and mask as one weight. A mean over masked values is a mean over those that count."""
    weight = None if sample_weight is None else sample_weight.to(dtype)
    if mask is None:
        return weight
    keep = mask.to(dtype)
    if reduction in {"mean", "sum_over_batch_size"}:
        # the reduction divides by all values: what counts is weighted by total / counting
        keep = keep * (keep.numel() / keep.sum().clamp(min=1))
    return keep if weight is None else keep * spread(weight, keep, "sample weights")


def _reduced(values: Tensor, weight: Tensor | None, reduction: Reduction) -> Tensor:
    if weight is not None and values.ndim == 0:
        values = values * weight  # one value for the batch, as often as there are weights: Keras's rule
    elif weight is not None:
        values, weight = match_ranks(values, weight)
        values = values * spread(weight, values, "sample weights or a mask")
    if reduction == "none" or values.ndim == 0:
        return values
    if reduction == "sum" or values.numel() == 0:
        return values.sum()
    if reduction == "mean_with_sample_weight" and weight is not None:
        total = weight.sum()
        return torch.where(total == 0, 0.0, values.sum() / torch.where(total == 0, 1.0, total))
    return values.mean()


LOSSES: Registry[Loss] = Registry("loss", Loss, ("kerascli.losses",), ("loss_",))

L = TypeVar("L", bound=type[Loss])


def loss(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[L], L]:
    """Register a loss."""

    def register(cls: L) -> L:
        LOSSES.register(cls, name=name, aliases=aliases)
        return cls

    return register
