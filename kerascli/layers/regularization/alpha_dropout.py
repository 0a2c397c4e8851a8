"""AlphaDropout: dropout that keeps mean and variance, for selu (Klambauer et al., 2017)."""

from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.draws import seeded
from kerascli.foundation.shapes import OpenFraction, TensorSpec
from kerascli.layers.base import Example, layer
from kerascli.layers.regularization.dropout import Dropout, concrete
from kerascli.preprocessing.function import InTraining

_SATURATED = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946  # selu of minus infinity


@layer(Example(input=(8,), output=(8,), config={"rate": 0.1}))
class AlphaDropout(Dropout):
    """Alpha dropout: in training sets values at random to selu's negative saturation, keeping mean and variance.

    Input and output: (N, *). Use it with `selu`. Paper: Klambauer et al., 2017.
    """

    rate: OpenFraction
    """Fraction of the values that is dropped in training."""

    def build(self, x: TensorSpec) -> nn.Module:
        self.check_noise_shape(x)
        return InTraining(self._dropped)

    def _dropped(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        if self.rate == 0:
            return x
        factor = ((1 - self.rate) * (1 + self.rate * _SATURATED**2)) ** -0.5
        with seeded(self.seed):
            kept = draws.bernoulli(x, 1 - self.rate, concrete(self.noise_shape, x))
        return factor * (x * kept + _SATURATED * (1 - kept)) - factor * _SATURATED * self.rate
