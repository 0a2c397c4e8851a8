"""Focal cross-entropies, which down-weight easy samples (Lin et al., 2017)."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from kerascli.foundation.shapes import Fraction, NonNegativeFloat, TensorSpec
from kerascli.language.component import Component
from kerascli.losses import crossentropy
from kerascli.losses.base import Loss, loss
from kerascli.losses.labels import YES_OR_NO, Labels

ClassWeights = NonNegativeFloat | Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1, strict=False)]
"""Type of the weight `alpha`: one number for all classes, or one per class."""


class BinaryArguments(Component):
    """Mixin with the first arguments of `binary_focal_crossentropy`, the loss and the metric."""

    apply_class_balancing: bool = False
    """Weight the losses of class 1 by alpha and those of class 0 by 1 - alpha."""
    alpha: Fraction = 0.25
    """Weight alpha of class 1, used with apply_class_balancing; class 0 has the weight 1 - alpha."""
    gamma: NonNegativeFloat = 2.0
    """Focusing parameter: a larger value gives easy samples less weight; 0 gives the plain cross-entropy."""


@loss()
class BinaryFocalCrossentropy(crossentropy.SmoothedArguments, BinaryArguments, Loss):
    """Binary focal cross-entropy (Lin et al., 2017): binary cross-entropy times (1 - p_t) ** gamma.

    p_t is the predicted probability of the true value, so easy samples are down-weighted.
    """

    predicts = "labels"

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true = crossentropy.smoothed(y_true, self.label_smoothing, classes=2)
        p = y_pred.sigmoid() if self.from_logits else y_pred
        right = y_true * p + (1 - y_true) * (1 - p)
        values = (1 - right) ** self.gamma * crossentropy.binary_crossentropy(y_true, p, from_logits=False)
        if self.apply_class_balancing:
            values = values * (y_true * self.alpha + (1 - y_true) * (1 - self.alpha))
        return values.mean(self.axis)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels:
        return YES_OR_NO


class CategoricalArguments(Component):
    """Mixin with the first arguments of `categorical_focal_crossentropy`, the loss and the metric."""

    alpha: ClassWeights = 0.25
    """Weight of all classes, or a list with one weight per class."""
    gamma: NonNegativeFloat = 2.0
    """Focusing parameter: a larger value gives easy samples less weight; 0 gives the plain cross-entropy."""


@loss()
class CategoricalFocalCrossentropy(crossentropy.SmoothedArguments, CategoricalArguments, Loss):
    """Categorical focal cross-entropy (Lin et al., 2017): cross-entropy times alpha * (1 - p) ** gamma.

    p is the predicted probability of the class, so easy samples are down-weighted. Targets are one-hot.
    """

    predicts = "classes"

    @model_validator(mode="after")
    def _classes_are_on_one_axis(self) -> Self:
        if isinstance(self.alpha, tuple) and not isinstance(self.axis, int):
            raise ValueError(f"alpha: {len(self.alpha)} weights of classes need one axis, got {list(self.axis)}")
        return self

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true = crossentropy.smoothed(y_true, self.label_smoothing, y_true.shape[-1])
        p = crossentropy.log_softmax(y_pred, self.axis).exp() if self.from_logits else y_pred
        p = crossentropy.probabilities(p, self.axis)
        return -(self._weights(p) * (1 - p) ** self.gamma * y_true * p.log()).sum(self.axis)

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        fault = crossentropy.one_hot_fault(self.component_name, None, target, output)
        classes = output.shape[-1] if output.shape else None
        if fault is None and isinstance(self.alpha, tuple) and classes not in (None, len(self.alpha)):
            return f"'{self.component_name}' has {len(self.alpha)} weights in alpha for {classes} classes"
        return fault

    def _weights(self, p: Tensor) -> Tensor | float:
        """Return `alpha` as a number, or as a tensor on the device of `p` that broadcasts with (N, *, classes)."""
        if not isinstance(self.alpha, tuple):
            return self.alpha
        assert isinstance(self.axis, int), "a list for alpha needs one axis"
        weights = torch.cat([p.new_full((1,), weight) for weight in self.alpha])
        return weights.reshape([-1 if axis == self.axis % p.ndim else 1 for axis in range(p.ndim)])
