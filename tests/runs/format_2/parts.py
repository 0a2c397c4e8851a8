"""A layer with a weight, and a loss."""

import torch
from kerascli.shapes import OpenFraction, PositiveFloat, TensorSpec
from torch import Tensor, nn

from kerascli.layers.base import Example, Layer, ShapeMismatch, WeightedModule, layer
from kerascli.losses.base import Loss, loss
from kerascli.parts.fields import InitializerField
from kerascli.parts.initializers import Ones


@layer(Example(input=(8,), output=(8,), config={"power": 3.0}))
class SignedPower(Layer):
    """scale * sign(x) * |x| ** power, with a learned scale for each feature."""

    power: PositiveFloat = 2.0
    scale_initializer: InitializerField = Ones()

    def build(self, x: TensorSpec) -> nn.Module:
        if not x.shape or x.shape[-1] is None:
            raise ShapeMismatch(f"needs a known last axis, got {x}")
        return SignedPowerModule(self, x.shape[-1])


class SignedPowerModule(WeightedModule):
    scale: Tensor

    def __init__(self, settings: SignedPower, features: int) -> None:
        super().__init__()
        self.power = settings.power
        self.add_weight("scale", (features,), initializer=settings.scale_initializer)

    def forward(self, x: Tensor) -> Tensor:  # (N, *, F) -> (N, *, F)
        return self.scale * x.sign() * (x.abs() + 1e-6) ** self.power


@loss()
class Pinball(Loss):
    """The loss whose best prediction is a quantile of the target."""

    quantile: OpenFraction = 0.5

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:  # (N, F) -> (N,)
        error = y_true - y_pred
        return torch.maximum(self.quantile * error, (self.quantile - 1) * error).mean(-1)
