"""ELU as a layer."""

from torch import nn

from kerascli.layers.activations.base import ActivationModule
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts import activations
from kerascli.shapes import TensorSpec


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 8), output=(5, 8), config={"alpha": 0.3}),
    aliases=("activation_elu",),
)
class ELU(Layer):
    """x above 0, alpha * (exp(x) - 1) below."""

    mask = "pass"

    alpha: float = 1.0
    """What large negative numbers come close to, with the opposite sign."""

    def build(self, x: TensorSpec) -> nn.Module:
        return ActivationModule(activations.Elu(alpha=self.alpha))
