"""Minimum: the smallest of the inputs."""

import torch
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.masked import MaskedMerge, MaskedMergeModule


class MinimumModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.minimum(a, b)


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Minimum(MaskedMerge):
    """The smallest of its inputs, value by value; masked steps take no part."""

    module = MinimumModule
