"""Add: the sum of the inputs."""

from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, PairwiseModule


class AddModule(PairwiseModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,), (1, 4)], output=(5, 4)),
)
class Add(ElementwiseMerge):
    """Adds its inputs, value by value."""

    module = AddModule
