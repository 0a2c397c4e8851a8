"""Masking: marks the steps whose features all have one value, so that later layers skip them."""

from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, NotSequences, layer


@layer(Example(input=(5, 3), output=(5, 3), config={"mask_value": 0.0}))
class Masking(Layer):
    """Masks the steps of a sequence whose features all equal `mask_value`, and sets them to 0.

    Input and output: (N, T, *). Later layers skip the masked steps.
    """

    mask = "make"

    mask_value: float = 0.0
    """Value that marks a step to be masked, if all of the step's features have it."""

    def build(self, x: TensorSpec) -> nn.Module:
        if x.rank < 2:
            raise NotSequences(x)
        return MaskingModule(self.mask_value)


class MaskingModule(nn.Module):
    def __init__(self, mask_value: float) -> None:
        super().__init__()
        self.mask_value = mask_value

    def forward(self, x: Tensor) -> Tensor:  # (N, T, *) -> (N, T, *)
        return x.masked_fill(~self.make_mask(x).unsqueeze(-1), 0.0)

    def make_mask(self, x: Tensor) -> Tensor:  # (N, T, F) -> (N, T)
        return (x != self.mask_value).any(-1)
