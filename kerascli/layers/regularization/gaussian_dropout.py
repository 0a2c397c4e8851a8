"""GaussianDropout: multiply by noise of mean 1 while training (Srivastava et al., 2014)."""

import math

from torch import Tensor, nn

from kerascli import draws
from kerascli.draws import seeded
from kerascli.layers.base import Example, Layer, layer
from kerascli.shapes import OpenFraction, Seed, TensorSpec


@layer(Example(input=(8, 3), output=(8, 3), config={"rate": 0.2}))
class GaussianDropout(Layer):
    """Multiplies by normal noise of mean 1 and deviation sqrt(rate / (1 - rate)) while training."""

    mask = "pass"

    rate: OpenFraction
    """As dropout's rate: the noise has the standard deviation sqrt(rate / (1 - rate))."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        return GaussianDropoutModule(self.rate, self.seed)


class GaussianDropoutModule(nn.Module):
    def __init__(self, rate: float, seed: int | None) -> None:
        super().__init__()
        self.stddev = math.sqrt(rate / (1 - rate))
        self.seed = seed

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        if not self.training or self.stddev == 0:
            return x
        with seeded(self.seed):
            return x * (1 + self.stddev * draws.normal(x))
