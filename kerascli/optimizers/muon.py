"""Muon optimizer, momentum with orthogonalized updates (Jordan et al., 2024; Liu et al., 2025)."""

import math
import re
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor

from kerascli.foundation.shapes import Fraction, NonNegativeFloat, NonNegativeInt, OpenFraction, PositiveFloat, Words
from kerascli.optimizers.base import Epsilon, LearningRate, Optimizer, State, UpdateContext, optimizer


def _patterns(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"expected regular expressions, got '{text}': {error}") from None
    return texts


@optimizer()
class Muon(Optimizer):
    """Muon (Jordan et al., 2024; Liu et al., 2025): momentum steps of matrices, orthogonalized by Newton-Schulz.

    Weights that do not have two axes, embeddings and `exclude_layers` are updated by Adam. The output layer should be
    among `exclude_layers`.
    """

    elementwise = False

    learning_rate: LearningRate = 0.001
    adam_beta_1: OpenFraction = 0.9
    """Exponential decay rate of Adam's first-moment (mean gradient) estimate."""
    adam_beta_2: OpenFraction = 0.999
    """Exponential decay rate of Adam's second-moment (mean squared gradient) estimate."""
    adam_weight_decay: NonNegativeFloat | None = 0.004
    """Decoupled weight decay of the weights that Adam updates; `weight_decay` applies to all other weights."""
    epsilon: Epsilon = 1e-7
    weight_decay: NonNegativeFloat | None = 0.004
    exclude_layers: Annotated[Words, AfterValidator(_patterns)] | None = None
    """Regular expressions; weights whose name (`dense_1/kernel`) contains a match are updated by Adam."""
    exclude_embeddings: bool = True
    """Update weights with `embedding` in their names by Adam."""
    muon_a: float = 3.4445
    """Coefficient a of the Newton-Schulz iteration X -> a X + b (X X^T) X + c (X X^T)^2 X."""
    muon_b: float = -4.7750
    """Coefficient b of the Newton-Schulz iteration; see muon_a."""
    muon_c: float = 2.0315
    """Coefficient c of the Newton-Schulz iteration; see muon_a."""
    adam_lr_ratio: PositiveFloat = 1.0
    """Ratio of Adam's learning rate to `learning_rate`."""
    momentum: Fraction = 0.95
    """Momentum: velocity = momentum * velocity + gradient."""
    ns_steps: NonNegativeInt = 5
    """Number of Newton-Schulz iterations."""
    nesterov: bool = True
    """Use Nesterov momentum: orthogonalize gradient + momentum * velocity."""
    rms_rate: PositiveFloat | None = 0.2
    """Scale steps by sqrt(max(rows, columns)) * rms_rate, to match the root mean square of Adam's; null: no scaling."""

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity")

    def slot_shape(self, slot: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        return shape if slot == "momentum" or self._is_adam_s(name, shape) else None

    def decay(self, state: State) -> float | None:
        return self.adam_weight_decay if "velocity" in state else self.weight_decay

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        if "velocity" in state:
            self._adam(weight, gradient, state, context)
            return
        momentum = state["momentum"].mul_(self.momentum).add_(gradient)
        step = self._orthogonal(gradient + self.momentum * momentum if self.nesterov else momentum)
        size = 1.0 if self.rms_rate is None else math.sqrt(max(weight.shape)) * self.rms_rate
        weight.sub_(step, alpha=context.learning_rate * size)

    def _adam(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        momentum = state["momentum"].lerp_(gradient, 1 - self.adam_beta_1)
        velocity = state["velocity"].mul_(self.adam_beta_2).addcmul_(gradient, gradient, value=1 - self.adam_beta_2)
        correction = math.sqrt(1 - self.adam_beta_2**context.step) / (1 - self.adam_beta_1**context.step)
        rate = context.learning_rate * self.adam_lr_ratio * correction
        weight.addcdiv_(momentum, velocity.sqrt().add_(self.epsilon), value=-rate)

    def _orthogonal(self, x: Tensor) -> Tensor:
        """Orthogonalize a matrix approximately: Newton-Schulz iteration moves its singular values towards 1."""
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (torch.linalg.matrix_norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            square = x @ x.T
            x = self.muon_a * x + (self.muon_b * square + self.muon_c * square @ square) @ x
        return x.T if tall else x

    def _is_adam_s(self, name: str, shape: tuple[int, ...]) -> bool:
        if len(shape) != 2 or (self.exclude_embeddings and "embedding" in name.lower()):
            return True
        # Names are short and the config's own, so `re`, as in Keras, serves: patterns of texts from outside run by RE2
        return any(re.search(pattern, name) for pattern in self.exclude_layers or ())
