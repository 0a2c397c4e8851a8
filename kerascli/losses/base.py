"""Base class and registry of losses, whose per-sample values are weighted, masked and reduced by Keras's rules."""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from kerascli.foundation import local_batch
from kerascli.foundation.shapes import Shape, TensorSpec, is_compatible
from kerascli.language.component import Component, Registry
from kerascli.losses.labels import Labels, class_labels
from kerascli.losses.ranks import aligned_pair, axes_fault, axes_of, match_ranks, spread

Reduction = Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"]


class Loss(Component):
    """Base class of losses. A subclass implements `values`, the loss of each sample; this class reduces them."""

    reduction: Reduction = "sum_over_batch_size"
    """Reduction of the per-sample losses: their mean (`sum_over_batch_size`, `mean`) or their `sum`.

    `mean_with_sample_weight`: weighted sum over the sum of the weights; `none`: one value per sample, not trainable.
    """

    predicts: ClassVar[Literal["values", "classes", "labels"]] = "values"
    """Kind of predictions: real values, scores of exclusive classes, or scores of independent (multi-hot) labels."""
    compares_rows: ClassVar[bool] = False
    """True: a row's loss depends on the other rows of its batch."""
    sparse_targets: ClassVar[bool] = False
    """True: targets are integer class labels, with one axis fewer than the predictions (or a last axis of 1)."""

    @abstractmethod
    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compute one loss per sample (and time step, pixel ...): the predictions' shape without its last axis.

        Targets and predictions have the same dtype and shape (N, *, F); F is 1 for one number per sample. With
        `sparse_targets` they are passed unchanged, the targets as (N, *) or (N, *, 1).
        """

    def counted(self, y_true: Tensor) -> Tensor | None:
        """Return a boolean mask of the per-sample losses that the reduction includes; None if it includes all."""
        return None

    def adds_up(self) -> bool:
        """Return True if the loss over a data set is the mean of its batches' losses, however rows are batched."""
        return self.reduction == "sum_over_batch_size"

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions, cast and reshaped as `values` takes them; class labels are unchanged.

        Half precision is cast to float32; (N,) against (N, 1) becomes (N, 1). Raises DataError if the shapes differ.
        """
        y_pred = y_pred if y_pred.dtype == torch.float64 else y_pred.to(torch.float32)
        return (y_true, y_pred) if self.sparse_targets else aligned_pair(y_true.to(y_pred.dtype), y_pred, weight_rank)

    def sample_values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Align the dtypes and shapes of targets and predictions, then compute one loss per sample, a tensor."""
        return self.values(*self.aligned(y_true, y_pred))

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, *, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Compute the reduced loss: a scalar, or one value per sample with reduction 'none'.

        `sample_weight` and `mask` (True: the value is used) have the leading axes of the values: (N,) or (N, T) ...
        """
        y_true, y_pred = self.aligned(y_true, y_pred, axes_of(sample_weight, mask))
        values = self.values(y_true, y_pred)
        counted = self.counted(y_true)
        if counted is not None:
            counted = counted.reshape(values.shape)
            mask = counted if mask is None else mask & counted
        if mask is not None and values.ndim == 0:
            spread(mask, values, "a mask")  # `values` has excluded the masked elements already
        weight = _merged_weight(sample_weight, mask, values.dtype, self.reduction)
        return _reduced(values, weight, self.reduction)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        """Return the range of class labels that a target may have; None if targets are not class labels."""
        return class_labels(output) if self.sparse_targets else None

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        """Return an error message, with the remedy, if the loss cannot compare target and output; else None.

        `validate` adds the position.
        """
        name = self.component_name
        if self.reduction == "none":
            return f"'{name}' with reduction 'none' gives no scalar to train on; remove 'reduction'"
        if target.dtype == "string":
            return f"'{name}' needs numeric targets, got text; add string_lookup to the target's pipeline"
        return axes_fault(self, output) or self.check_shapes(target, output)

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        """Return an error message if the loss cannot compare targets and outputs of these shapes; else None.

        By default they must be equal up to a last axis of 1.
        """
        if same_shape(target.shape, output.shape):
            return None
        name = self.component_name
        return f"'{name}' needs targets of the output's shape {output}, got {target}; change one of them"

    @classmethod
    def first_argument(cls) -> str | None:
        return next((name for name in cls.model_fields if name != "reduction"), "reduction")


def same_shape(target: Shape, output: Shape) -> bool:
    """Return True if the known sizes of two shapes are equal; a last axis of 1 that only one has is ignored."""
    if len(target) == len(output) + 1 and target[-1] == 1:
        target = target[:-1]
    elif len(output) == len(target) + 1 and output[-1] == 1:
        output = output[:-1]
    return is_compatible(target, output)


def _merged_weight(
    sample_weight: Tensor | None, mask: Tensor | None, dtype: torch.dtype, reduction: Reduction
) -> Tensor | None:
    """Combine sample weights and mask into one weight, such that a mean is over the unmasked values only."""
    weight = None if sample_weight is None else sample_weight.to(dtype)
    if mask is None:
        return weight
    keep = mask.to(dtype)
    if reduction in {"mean", "sum_over_batch_size"}:
        # the reduction divides by the number of all values, so unmasked ones are weighted by total / unmasked
        keep = keep * (keep.numel() / local_batch.share_of(keep.sum(), least=1))
    return keep if weight is None else keep * spread(weight, keep, "sample weights")


def _reduced(values: Tensor, weight: Tensor | None, reduction: Reduction) -> Tensor:
    if weight is not None and values.ndim == 0:
        values = values * weight  # Keras broadcasts a batch's single value to the weights
    elif weight is not None:
        values, weight = match_ranks(values, weight)
        values = values * spread(weight, values, "sample weights or a mask")
    if reduction == "none" or values.ndim == 0:
        return values
    if reduction == "sum" or values.numel() == 0:
        return local_batch.as_mean(values.sum())
    if reduction == "mean_with_sample_weight" and weight is not None:
        total = local_batch.share_of(weight.sum())
        return torch.where(total == 0, 0.0, values.sum() / torch.where(total == 0, 1.0, total))
    return values.mean()


LOSSES: Registry[Loss] = Registry("loss", Loss, ("kerascli.losses",), ("loss_",))


loss = LOSSES.named
"""Decorator that registers a class as a loss that configs can name."""
