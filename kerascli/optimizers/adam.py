"""Adam and AdamW: running means of the gradient and of its square (Kingma and Ba, 2014)."""

import math
from collections.abc import Mapping

import torch
from pydantic import field_validator
from torch import Tensor
from torch.optim.adam import adam

from kerascli.optimizers.base import AdamLike, Moment, optimizer
from kerascli.shapes import NonNegativeFloat


@optimizer()
class Adam(AdamLike):
    """Steps along the mean gradient, divided by the root of the mean square."""

    amsgrad: bool = False
    """Divide by the largest second moment so far instead of the present one."""

    one_pass = True

    def slots(self) -> tuple[str, ...]:
        return (*super().slots(), *(("velocity_hat",) if self.amsgrad else ()))

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        # torch adds epsilon after its correction of the velocity, Keras before it
        epsilon = self.epsilon / math.sqrt(1 - self.beta_2**moment.step)
        steps_before = torch.full((), moment.step - 1, dtype=torch.float32, device=weight.device)
        adam(
            [weight], [gradient], [state["momentum"]], [state["velocity"]],
            [state["velocity_hat"]] if self.amsgrad else [], [steps_before],
            fused=True, amsgrad=self.amsgrad, lr=moment.learning_rate, beta1=self.beta_1, beta2=self.beta_2,
            eps=epsilon, weight_decay=0.0, maximize=False,
        )  # fmt: skip


@optimizer(name="adam_w")
class AdamW(Adam):
    """Adam with weight decay; as everywhere in Keras 3, decay acts on the weight, not on the gradient."""

    weight_decay: NonNegativeFloat | None = 0.004

    @field_validator("weight_decay")
    @classmethod
    def _decays(cls, value: float | None) -> float | None:
        if value is None:
            raise ValueError("expected a number, got nothing (null); 'adam' is adam_w without decay")
        return value
