"""StochasticDepth: skips residual branches at random, sample by sample, in training (Huang et al., 2016)."""

from torch import nn

from kerascli.foundation.shapes import Fraction, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.regularization.dropout import dropout
from kerascli.preprocessing.function import InTraining


@layer(Example(input=(4, 4, 3), output=(4, 4, 3), config={"drop_path_rate": 0.2}))
class StochasticDepth(Layer):
    """Stochastic depth: in training sets whole samples to 0 at random, and scales up the others.

    The factor of the others is 1 / (1 - drop_path_rate). Input and output: (N, *). Put it at the end of a residual
    branch, before `add`. Keras keeps it in `keras.applications`, as a part of ConvNeXt. Paper: Huang et al., 2016.
    """

    mask = "pass"  # Keras passes it on at inference only, where it returns its input

    drop_path_rate: Fraction
    """Probability that a sample is set to 0."""

    def build(self, x: TensorSpec) -> nn.Module:
        return InTraining(dropout, self.drop_path_rate, (None, *(1,) * x.rank))
