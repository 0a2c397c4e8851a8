"""Subtract: the first input less the second."""

from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, PairwiseModule


class SubtractModule(PairwiseModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Subtract(ElementwiseMerge):
    """The first of two inputs less the second, value by value."""

    exactly = 2
    module = SubtractModule
