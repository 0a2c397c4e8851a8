"""GaussianNoise and GaussianDropout: additive or multiplicative normal noise in training (Srivastava et al., 2014)."""

import math

from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.draws import seeded
from kerascli.foundation.shapes import NonNegativeFloat, OpenFraction, Seed, TensorSpec
from kerascli.layers.base import Example, Layer, layer


@layer(Example(input=(8, 3), output=(8, 3), config={"stddev": 0.1}))
class GaussianNoise(Layer):
    """Gaussian noise: in training adds normal noise of mean 0 and standard deviation `stddev`.

    Input and output: (N, *); inference returns the input.
    """

    mask = "pass"

    stddev: NonNegativeFloat
    """Standard deviation of the noise."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        return GaussianModule(self.stddev, self.seed, factor=False)


@layer(Example(input=(8, 3), output=(8, 3), config={"rate": 0.2}))
class GaussianDropout(Layer):
    """Gaussian dropout: in training multiplies by normal noise of mean 1 (Srivastava et al., 2014).

    The noise has standard deviation sqrt(rate / (1 - rate)). Input and output: (N, *); inference returns the input.
    """

    mask = "pass"

    rate: OpenFraction
    """Drop rate of an equivalent `dropout`: the noise has standard deviation sqrt(rate / (1 - rate))."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        return GaussianModule(math.sqrt(self.rate / (1 - self.rate)), self.seed, factor=True)


class GaussianModule(nn.Module):
    """Module that in training adds normal noise to its input or, if `factor` is true, multiplies the input by 1 plus
    the noise."""

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
