"""LossScaleOptimizer: dynamic loss scaling, against underflow of gradients in half precision."""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor

from kerascli.foundation.errors import FileRefused
from kerascli.foundation.shapes import PositiveFloat, PositiveInt
from kerascli.optimizers.base import OPTIMIZERS, BaseOptimizer, Optimizer, optimizer

_SMALLEST = 2.0**-16
"""Minimum of the loss scale; gradients that are not finite at this scale have another cause than overflow."""
_LARGEST = 2.0**126


def _unscaled(inner: BaseOptimizer) -> Optimizer:
    if not isinstance(inner, Optimizer):
        raise ValueError(f"expected an optimizer that does not scale the loss itself, got {inner.component_name}")
    if inner.loss_scale_factor is not None:
        raise ValueError("loss_scale_factor would scale the loss twice; remove it, or set initial_scale instead")
    return inner


@optimizer()
class LossScaleOptimizer(BaseOptimizer):
    """Dynamic loss scaling: the loss is multiplied and the gradients are divided by a scale, against underflow.

    If a gradient is not finite, the step is skipped and the scale halved; after `dynamic_growth_steps` finite steps the
    scale is doubled. The dtype policy `mixed_float16` applies this wrapper automatically.
    """

    refused = dict.fromkeys(Optimizer.model_fields, "it is a setting of inner_optimizer")

    inner_optimizer: Annotated[BaseOptimizer, OPTIMIZERS.field(), AfterValidator(_unscaled)]
    """Optimizer that makes the updates; it has the arguments for clipping, weight decay and the like."""
    initial_scale: PositiveFloat = 2.0**15
    """Initial loss scale; one that is too high is lowered quickly."""
    dynamic_growth_steps: PositiveInt = 2000
    """Number of consecutive steps with finite gradients after which the loss scale is doubled."""

    @property
    def rule(self) -> Optimizer:
        assert isinstance(self.inner_optimizer, Optimizer)
        return self.inner_optimizer


class LossScale:
    """State of dynamic loss scaling; the scale is the tensor `factor`, which a traced training step reads in place."""

    def __init__(self, settings: LossScaleOptimizer, device: torch.device) -> None:
        self.factor = torch.tensor(settings.initial_scale, dtype=torch.float32, device=device)
        self.skipped = 0
        """Number of training steps that were skipped because a gradient was not finite."""
        self.value = float(self.factor)
        self._growth_steps = settings.dynamic_growth_steps
        self._good = 0
        """Number of training steps with finite gradients since the last change of the loss scale."""

    def good(self) -> None:
        """Record a step with finite gradients; after `dynamic_growth_steps` such steps the loss scale is doubled."""
        self._good += 1
        if self._good == self._growth_steps:
            self._set(min(self.value * 2, _LARGEST))

    def overflow(self) -> bool:
        """Record a skipped step and halve the loss scale; return False if the scale is already at its minimum."""
        if self.value / 2 < _SMALLEST:
            return False
        self.skipped += 1
        self._set(self.value / 2)
        return True

    def _set(self, value: float) -> None:
        self.value, self._good = value, 0
        self.factor.fill_(value)

    def state(self) -> dict[str, Tensor]:
        """Return the state of loss scaling as tensors, named like the variables of Keras's LossScaleOptimizer; the
        scale is not copied."""
        return {
            "loss_scale_optimizer/dynamic_scale": self.factor,
            "loss_scale_optimizer/step_counter": torch.tensor(self._good),
            "loss_scale_optimizer/skipped_steps": torch.tensor(self.skipped),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore loss scaling from what `state()` returned. Raises FileRefused for an impossible scale or count."""
        scale, good, skipped = (state[name].item() for name in self.state())
        if not (math.isfinite(scale) and scale > 0 and good >= 0 and skipped >= 0):
            raise FileRefused(f"the optimizer's loss scale is {scale} after {good} good and {skipped} skipped steps")
        self._set(float(scale))
        self._good, self.skipped = int(good), int(skipped)
