"""Average: the mean of the inputs."""

from functools import reduce

import torch
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, MergeModule


class AverageModule(MergeModule):
    def merge(self, xs: list[Tensor]) -> Tensor:
        return reduce(torch.add, xs) / len(xs)


@layer(
    Example(input=[(4,), (4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Average(ElementwiseMerge):
    """The mean of its inputs, value by value."""

    module = AverageModule
