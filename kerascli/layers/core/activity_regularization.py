"""ActivityRegularization: an L1 and L2 penalty on its input."""

from torch import nn

from kerascli.foundation.shapes import NonNegativeFloat, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts.base import Regularizer
from kerascli.parts.regularizers import L1L2


@layer(Example(input=(8,), output=(8,), config={"l1": 0.01, "l2": 0.001}))
class ActivityRegularization(Layer):
    """Returns its input and adds the penalty l1 * sum(|x|) + l2 * sum(x^2), averaged over the batch, to the loss.

    Input and output: (N, *).
    """

    mask = "pass"

    l1: NonNegativeFloat = 0.0
    """L1 factor: multiplies the sum of absolute values."""
    l2: NonNegativeFloat = 0.0
    """L2 factor: multiplies the sum of squares."""

    def activity_penalty(self) -> Regularizer:
        return L1L2(l1=self.l1, l2=self.l2)

    def build(self, x: TensorSpec) -> nn.Module:
        return nn.Identity()
