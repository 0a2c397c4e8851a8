"""SELU as a layer, as R's keras has it."""

from torch import nn

from kerascli.layers.activations.base import ActivationModule
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts import activations
from kerascli.shapes import TensorSpec


@layer(Example(input=(8,), output=(8,)), aliases=("activation_selu",))
class SELU(Layer):
    """A scaled elu that keeps mean 0 and variance 1; wants lecun_normal kernels, and alpha_dropout for dropout."""

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        return ActivationModule(activations.Selu())
