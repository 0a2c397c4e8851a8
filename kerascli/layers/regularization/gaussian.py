"""GaussianNoise and GaussianDropout: add or multiply by normal noise while training (Srivastava et al., 2014)."""

import math

from torch import Tensor, nn

from kerascli import draws
from kerascli.draws import seeded
from kerascli.layers.base import Example, Layer, layer
from kerascli.shapes import NonNegativeFloat, OpenFraction, Seed, TensorSpec


@layer(Example(input=(8, 3), output=(8, 3), config={"stddev": 0.1}))
class GaussianNoise(Layer):
    """Adds normally distributed noise of mean 0 while training."""

    mask = "pass"

    stddev: NonNegativeFloat
    """The standard deviation of the noise."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        return GaussianModule(self.stddev, self.seed, factor=False)


@layer(Example(input=(8, 3), output=(8, 3), config={"rate": 0.2}))
class GaussianDropout(Layer):
    """Multiplies by normal noise of mean 1 and deviation sqrt(rate / (1 - rate)) while training."""

    mask = "pass"

    rate: OpenFraction
    """As dropout's rate: the noise has the standard deviation sqrt(rate / (1 - rate))."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        return GaussianModule(math.sqrt(self.rate / (1 - self.rate)), self.seed, factor=True)


class GaussianModule(nn.Module):
    """The noise is added, or added to 1 and then a `factor`."""

    def __init__(self, stddev: float, seed: int | None, *, factor: bool) -> None:
        super().__init__()
        self.stddev = stddev
        self.seed = seed
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        if not self.training or self.stddev == 0:
            return x
        with seeded(self.seed):
            noise = self.stddev * draws.normal(x)
        return x * (1 + noise) if self.factor else x + noise
