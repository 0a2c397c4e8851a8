"""Maximum: the largest of the inputs."""

import torch
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, ExtremeModule


class MaximumModule(ExtremeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Maximum(ElementwiseMerge):
    """The largest of its inputs, value by value; steps that a mask hides do not take part."""

    uses_masks = True

    module = MaximumModule
