"""Adam and its relatives: AdamW, Adamax, Nadam and Lamb."""

import math

import torch
from pydantic import field_validator
from torch import Tensor

from kerascli.foundation.shapes import NonNegativeFloat, OpenFraction
from kerascli.optimizers.base import AdamLike, State, UpdateContext, optimizer
from kerascli.optimizers.rule import add_quotient


@optimizer()
class Adam(AdamLike):
    """Adam (Kingma and Ba, 2014): steps along the mean gradient, divided by the root of the mean squared gradient.

    Both are exponential moving averages (the first and second moments), corrected for their start at 0.
    """

    epsilon: NonNegativeFloat = 1e-7
    """Small constant for numerical stability, "epsilon hat" of Kingma and Ba (2014, section 2)."""
    amsgrad: bool = False
    """AMSGrad (Reddi et al., 2018): divide by the maximum of all second-moment estimates so far, not by the last."""

    one_pass = True

    def slots(self) -> tuple[str, ...]:
        return (*super().slots(), *(("velocity_hat",) if self.amsgrad else ()))

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        # torch adds epsilon after the bias correction of the second moment, Keras before it
        epsilon = self.epsilon / math.sqrt(1 - self.beta_2**context.step)
        step = torch.full((), context.step, dtype=torch.float32, device=weight.device)
        # what the Python code of torch.optim comes to, which in small models takes longer than the update
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
            [weight], [gradient], [state["momentum"]], [state["velocity"]],
            [state["velocity_hat"]] if self.amsgrad else [], [step],
            amsgrad=self.amsgrad, lr=context.learning_rate, beta1=self.beta_1, beta2=self.beta_2, eps=epsilon,
            weight_decay=0.0, maximize=False,
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


@optimizer()
class Adamax(AdamLike):
    """Adamax (Kingma and Ba, 2014, section 7.1): Adam with the infinity norm of past gradients for the second moment.

    The norm is max(beta_2 * norm, |gradient|). Suited to embeddings, whose gradients are mostly 0.
    """

    beta_2: OpenFraction = 0.999
    """Exponential decay rate of the infinity norm of gradients."""

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "norm")

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        norm = state["norm"].mul_(self.beta_2)
        torch.maximum(norm, gradient.abs(), out=norm)
        rate = context.learning_rate / (1 - self.beta_1**context.step)
        add_quotient(weight, momentum, norm + self.epsilon, -rate)


@optimizer()
class Nadam(AdamLike):
    """Nadam (Dozat, 2016): Adam with Nesterov momentum, whose momentum increases over the first updates.

    In update t (from 1) the momentum is beta_1 * (1 - 0.5 * 0.96 ** t).
    """

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        now, ahead = self._momentum_at(context.step), self._momentum_at(context.step + 1)
        so_far = self.momentum_product(context.step)
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        velocity = state["velocity"].mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        step = torch.mul(gradient, (1 - now) / (1 - so_far)).add_(momentum, alpha=ahead / (1 - so_far * ahead))
        size = torch.div(velocity, 1 - self.beta_2**context.step).sqrt_().add_(self.epsilon)
        weight.addcdiv_(step, size, value=-context.learning_rate)

    def _momentum_at(self, step: int) -> float:
        return self.beta_1 * (1 - 0.5 * 0.96**step)

    def momentum_product(self, step: int) -> float:
        """Return the product of Nadam's momenta, which increase, over the updates 1 to `step`.

        Late factors, which leave 1 - product unchanged, are omitted.
        """
        if self.beta_1 == 0:
            return 0.0
        steps = min(step, math.ceil(-42 / math.log(self.beta_1)))
        return math.prod(map(self._momentum_at, range(1, steps + 1)))


@optimizer()
class Lamb(AdamLike):
    """LAMB (You et al., 2019), for very large batches: Adam's step, scaled for each weight by the weight's norm.

    Each weight's update has the norm learning_rate * norm(weight); it is Adam's if the norm of weight or step is 0.
    """

    elementwise = False

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        velocity = state["velocity"].mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        size = (velocity / (1 - self.beta_2**context.step)).sqrt_().add_(self.epsilon)
        step = momentum / (1 - self.beta_1**context.step) / size
        weight_norm, step_norm = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(step)
        ratio = torch.where((weight_norm > 0) & (step_norm > 0), weight_norm / step_norm, 1.0)
        weight.sub_(step.mul_(ratio * context.learning_rate))
