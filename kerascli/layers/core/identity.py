"""Identity, Masking and ActivityRegularization: layers that return their input, with a mask or a penalty."""

from torch import Tensor, nn

from kerascli.foundation.shapes import NonNegativeFloat, TensorSpec
from kerascli.layers.base import Example, Layer, NotSequences, layer
from kerascli.parts.base import Regularizer
from kerascli.parts.regularizers import L1L2


@layer(Example(input=(8, 3), output=(8, 3)))
class Identity(Layer):
    """Returns its input unchanged; use it to give a tensor a name.

    Input and output: (N, *).
    """

    mask = "pass"
    takes_integers = True
    moves_values = True

    def build(self, x: TensorSpec) -> nn.Module:
        return nn.Identity()


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


@layer(Example(input=(8,), output=(8,), config={"l1": 0.01, "l2": 0.001}))
class ActivityRegularization(Layer):
    """Returns its input and adds the penalty l1 * sum(|x|) + l2 * sum(x^2), averaged over the batch, to the loss.

    Input and output: (N, *).
    """

    mask = "pass"

    l1: NonNegativeFloat = 0.0
    """L1 factor: multiplies the sum of absolute values."""
    l2: NonNegativeFloat = 0.0
    """L2 factor: multiplies the sum of squares."""

    def activity_penalty(self) -> Regularizer:
        return L1L2(l1=self.l1, l2=self.l2)

    def build(self, x: TensorSpec) -> nn.Module:
        return nn.Identity()
