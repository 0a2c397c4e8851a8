"""AlphaDropout: dropout that keeps mean and variance, for selu (Klambauer et al., 2017)."""

from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.draws import seeded
from kerascli.foundation.shapes import AnyShape, OpenFraction, Seed, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.regularization.dropout import DropoutModule, check_noise_shape, concrete

_SATURATED = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946  # selu of minus infinity


@layer(Example(input=(8,), output=(8,), config={"rate": 0.1}))
class AlphaDropout(Layer):
    """Alpha dropout: in training sets values at random to selu's negative saturation, keeping mean and variance.

    Input and output: (N, *). Use it with `selu`. Paper: Klambauer et al., 2017.
    """

    mask = "pass"

    rate: OpenFraction
    """Fraction of the values that is dropped in training."""
    noise_shape: AnyShape | None = None
    """Shape of the random mask, batch first; size 1: values along the axis drop together; null: the input's size."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        if self.noise_shape is not None:
            check_noise_shape(self.noise_shape, x)
        return AlphaDropoutModule(self.rate, self.noise_shape, self.seed)


class AlphaDropoutModule(DropoutModule):
    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        if not self.training or self.rate == 0:
            return x
        factor = ((1 - self.rate) * (1 + self.rate * _SATURATED**2)) ** -0.5
        with seeded(self.seed):
            kept = draws.bernoulli(x, 1 - self.rate, concrete(self.noise_shape, x))
        return factor * (x * kept + _SATURATED * (1 - kept)) - factor * _SATURATED * self.rate
