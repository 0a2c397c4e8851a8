"""LossScaleOptimizer: gradients in half precision, kept from vanishing by a factor that finds its own size."""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor

from kerascli.errors import FileRefused
from kerascli.optimizers.base import OPTIMIZERS, BaseOptimizer, Optimizer, optimizer
from kerascli.shapes import PositiveFloat, PositiveInt

_SMALLEST = 2.0**-16
"""What is not finite with such a factor is so for another reason."""
_LARGEST = 2.0**126


def _unscaled(inner: BaseOptimizer) -> Optimizer:
    if not isinstance(inner, Optimizer):
        raise ValueError(f"expected an optimizer that does not scale the loss itself, got {inner.component_name}")
    if inner.loss_scale_factor is not None:
        raise ValueError("loss_scale_factor would scale the loss twice; take it out, or give it as initial_scale")
    return inner


@optimizer()
class LossScaleOptimizer(BaseOptimizer):
    """Multiplies the loss by a factor, and divides the gradients by it; a step with an overflow is left out.

    The factor is halved then, and doubled after `dynamic_growth_steps` good steps. `mixed_float16` uses it by itself.
    """

    refused = dict.fromkeys(Optimizer.model_fields, "it is a setting of inner_optimizer")

    inner_optimizer: Annotated[BaseOptimizer, OPTIMIZERS.field(), AfterValidator(_unscaled)]
    """Makes the steps; clipping, decay and the like are settings of it."""
    initial_scale: PositiveFloat = 2.0**15
    """The first factor; one that is too high is soon lowered."""
    dynamic_growth_steps: PositiveInt = 2000
    """Good steps after which the factor is doubled."""

    @property
    def rule(self) -> Optimizer:
        assert isinstance(self.inner_optimizer, Optimizer)
        return self.inner_optimizer


class LossScale:
    """The factor as training goes on. `factor` is read where it lies by the program of a step."""

    def __init__(self, settings: LossScaleOptimizer, device: torch.device) -> None:
        self.factor = torch.tensor(settings.initial_scale, dtype=torch.float32, device=device)
        self.skipped = 0
        """Steps that were left out."""
        self._value = float(self.factor)
        self._growth_steps = settings.dynamic_growth_steps
        self._good = 0
        """Since the factor was last changed."""

    def unscale(self, gradient: Tensor) -> None:
        gradient.div_(self._value)

    def good(self) -> None:
        """A step was made."""
        self._good += 1
        if self._good == self._growth_steps:
            self._set(min(self._value * 2, _LARGEST))

    def overflow(self) -> bool:
        """A step is left out; False where no smaller factor would help."""
        if self._value / 2 < _SMALLEST:
            return False
        self.skipped += 1
        self._set(self._value / 2)
        return True

    def _set(self, value: float) -> None:
        self._value, self._good = value, 0
        self.factor.fill_(value)

    def state(self) -> dict[str, Tensor]:
        """Keras's variables, and the count of what was left out. The factor is no copy."""
        return {
            "loss_scale_optimizer/dynamic_scale": self.factor,
            "loss_scale_optimizer/step_counter": torch.tensor(self._good),
            "loss_scale_optimizer/skipped_steps": torch.tensor(self.skipped),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Raises FileRefused for a factor that cannot be."""
        scale, good, skipped = (state[name].item() for name in self.state())
        if not (math.isfinite(scale) and scale > 0 and good >= 0 and skipped >= 0):
            raise FileRefused(f"the optimizer's loss scale is {scale} after {good} good and {skipped} skipped steps")
        self._set(float(scale))
        self._good, self.skipped = int(good), int(skipped)
