"""StochasticDepth: skip whole residual branches, sample by sample, while training (Huang et al., 2016)."""

from torch import nn

from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.regularization.dropout import DropoutModule
from kerascli.shapes import Fraction, TensorSpec


@layer(Example(input=(4, 4, 3), output=(4, 4, 3), config={"drop_path_rate": 0.2}))
class StochasticDepth(Layer):
    """Zeroes all values of a sample together while training, the others are scaled by 1 / (1 - drop_path_rate).

    It belongs at the end of a residual branch, before `add`. Keras keeps it in `keras.applications`, as a part of
    ConvNeXt.
    """

    mask = "pass"  # Keras hands it on at inference only, where it returns its input

    drop_path_rate: Fraction
    """Probability that a sample is zeroed."""

    def build(self, x: TensorSpec) -> nn.Module:
        return DropoutModule(self.drop_path_rate, (None, *(1,) * x.rank), None)
