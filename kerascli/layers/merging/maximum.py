"""Maximum: the largest of the inputs."""

import torch
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.masked import MaskedMerge, MaskedMergeModule


class MaximumModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Maximum(MaskedMerge):
    """The largest of its inputs, value by value; masked steps take no part."""

    module = MaximumModule
