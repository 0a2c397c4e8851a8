"""Identity: returns its input unchanged."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, layer


@layer(Example(input=(8, 3), output=(8, 3)))
class Identity(Layer):
    """Returns its input unchanged; use it to give a tensor a name.

    Input and output: (N, *).
    """

    mask = "pass"
    takes_integers = True
    moves_values = True

    def build(self, x: TensorSpec) -> nn.Module:
        return nn.Identity()
