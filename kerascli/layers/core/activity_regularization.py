"""ActivityRegularization: a penalty on whatever comes by."""

from torch import nn

from kerascli.layers.base import Example, Layer, layer
from kerascli.parts.base import Regularizer
from kerascli.parts.regularizers import L1L2
from kerascli.shapes import NonNegativeFloat, TensorSpec


@layer(Example(input=(8,), output=(8,), config={"l1": 0.01, "l2": 0.001}))
class ActivityRegularization(Layer):
    """Hands its input on and adds l1 * sum(|x|) + l2 * sum(x^2) to the loss, as a mean over the batch."""

    mask = "pass"

    l1: NonNegativeFloat = 0.0
    """The factor of the sum of sizes."""
    l2: NonNegativeFloat = 0.0
    """The factor of the sum of squares."""

    def activity_penalty(self) -> Regularizer:
        return L1L2(l1=self.l1, l2=self.l2)

    def build(self, x: TensorSpec) -> nn.Module:
        return nn.Identity()
