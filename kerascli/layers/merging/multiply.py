"""Multiply: the product of the inputs."""

from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, PairwiseModule


class MultiplyModule(PairwiseModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Multiply(ElementwiseMerge):
    """Multiplies its inputs, value by value."""

    module = MultiplyModule
