"""GaussianNoise: add zero-mean noise while training, do nothing otherwise."""

from torch import Tensor, nn

from kerascli import draws
from kerascli.draws import seeded
from kerascli.layers.base import Example, Layer, layer
from kerascli.shapes import NonNegativeFloat, Seed, TensorSpec


@layer(Example(input=(8, 3), output=(8, 3), config={"stddev": 0.1}))
class GaussianNoise(Layer):
    """Adds normally distributed noise of mean 0 while training."""

    mask = "pass"

    stddev: NonNegativeFloat
    """The standard deviation of the noise."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        return GaussianNoiseModule(self.stddev, self.seed)


class GaussianNoiseModule(nn.Module):
    def __init__(self, stddev: float, seed: int | None) -> None:
        super().__init__()
        self.stddev = stddev
        self.seed = seed

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        if not self.training or self.stddev == 0:
            return x
        with seeded(self.seed):
            return x + self.stddev * draws.normal(x)
