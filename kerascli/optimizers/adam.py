"""Adam (Kingma and Ba, 2014) and AdamW (Loshchilov and Hutter, 2019)."""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.optim.adam import adam

from kerascli.foundation.shapes import NonNegativeFloat
from kerascli.optimizers.base import AdamLike, UpdateContext, optimizer


@optimizer()
class Adam(AdamLike):
    """Adam (Kingma and Ba, 2014): steps along the mean gradient, divided by the root of the mean squared gradient.

    Both are exponential moving averages (the first and second moments), corrected for their start at 0.
    """

    epsilon: Annotated[
        NonNegativeFloat,
        Field(description='Small constant for numerical stability, "epsilon hat" of Kingma and Ba (2014, section 2).'),
    ] = 1e-7
    amsgrad: bool = False
    """AMSGrad (Reddi et al., 2018): divide by the maximum of all second-moment estimates so far, not by the last."""

    one_pass = True

    def slots(self) -> tuple[str, ...]:
        return (*super().slots(), *(("velocity_hat",) if self.amsgrad else ()))

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], context: UpdateContext) -> None:
        # torch adds epsilon after the bias correction of the second moment, Keras before it
        epsilon = self.epsilon / math.sqrt(1 - self.beta_2**context.step)
        steps_before = torch.full((), context.step - 1, dtype=torch.float32, device=weight.device)
        adam(
            [weight], [gradient], [state["momentum"]], [state["velocity"]],
            [state["velocity_hat"]] if self.amsgrad else [], [steps_before],
            fused=True, amsgrad=self.amsgrad, lr=context.learning_rate, beta1=self.beta_1, beta2=self.beta_2,
            eps=epsilon, weight_decay=0.0, maximize=False,
        )  # fmt: skip


@optimizer(name="adam_w")
class AdamW(Adam):
    """AdamW (Loshchilov and Hutter, 2019): Adam with decoupled weight decay, by default 0.004.

    As in all optimizers of Keras 3, decay is applied to the weights, not to the gradients.
    """

    weight_decay: NonNegativeFloat | None = 0.004

    @field_validator("weight_decay")
    @classmethod
    def _decays(cls, value: float | None) -> float | None:
        if value is None:
            raise ValueError("expected a number, got nothing (null); 'adam' is adam_w without decay")
        return value
