"""Activation: an activation function as a layer."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts.fields import ActivationField
from kerascli.preprocessing.function import Function


@layer(Example(input=(8,), output=(8,), config={"activation": "tanh"}))
class Activation(Layer):
    """Applies an activation function to its input.

    Input and output: (N, *); an activation that changes the shape (`glu`) changes the output's.
    """

    mask = "pass"

    activation: ActivationField
    """Activation function, by name or as a mapping."""

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(self.activation)
