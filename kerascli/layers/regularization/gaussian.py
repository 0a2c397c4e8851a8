"""GaussianNoise and GaussianDropout: additive or multiplicative normal noise in training (Srivastava et al., 2014)."""

import math

from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.draws import seeded
from kerascli.foundation.shapes import NonNegativeFloat, OpenFraction, Seed, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.preprocessing.function import InTraining


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
        return InTraining(lambda x: x + _noise(x, self.stddev, self.seed) if self.stddev else x)


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
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return InTraining(lambda x: x * (1 + _noise(x, stddev, self.seed)) if stddev else x)


def _noise(x: Tensor, stddev: float, seed: int | None) -> Tensor:
    """Draw normal noise of mean 0 in the shape of `x`."""
    with seeded(seed):
        return stddev * draws.normal(x)
