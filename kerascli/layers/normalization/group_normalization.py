"""GroupNormalization: normalizes groups of a sample's channels (Wu and He, 2018)."""

from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import Axis, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.normalization.base import Epsilon, PenaltyArguments, ScaleArguments, ScaledModule, sizes_along


def _check_groups(groups: int) -> int:
    if groups < 1 and groups != -1:
        raise ValueError(f"must be at least 1, or -1 for one group per channel, got {groups}")
    return groups


class FirstArguments(Layer):
    """Mixin with the first arguments of `group_normalization`, which in Keras come before `center` and `scale`."""

    groups: Annotated[int, AfterValidator(_check_groups)] = 32
    """Number of groups, which must divide the channels; -1: one group per channel (instance normalization)."""
    axis: Axis = -1
    epsilon: Epsilon = 1e-3


@layer(Example(input=(4, 4, 6), output=(4, 4, 6), config={"groups": 3}))
class GroupNormalization(PenaltyArguments, ScaleArguments, FirstArguments):
    """Group normalization: normalizes each group of a sample's channels, then scales and shifts each channel.

    Each group gets mean 0 and variance 1; `groups: 1` normalizes a sample as a whole. Input and output: (N, *), with
    the channels along `axis`. Paper: Wu and He, 2018.
    """

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        axes = positive_axes(self.axis, x)
        (channels,) = sizes_along(axes, x)
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            text = f"has {groups} groups, which do not divide the {channels} channels of {x}"
            raise ShapeMismatch(text, argument="groups")
        return GroupNormalizationModule(self, axes[0], channels, groups)


class GroupNormalizationModule(ScaledModule):
    def __init__(self, settings: GroupNormalization, axis: int, channels: int, groups: int) -> None:
        super().__init__(settings, (channels,))
        self.axis = axis
        self.groups = groups
        self.epsilon = settings.epsilon

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = x.movedim(self.axis, 1)
        if x.requires_grad and self.gamma is not None and self.beta is not None:
            return F.group_norm(last, self.groups, self.gamma, self.beta, self.epsilon).movedim(1, self.axis)
        # torch 2.13's backward fails, or crashes the process, if one of the three has no gradient
        y = F.group_norm(last, self.groups, eps=self.epsilon).movedim(1, -1)
        y = y if self.gamma is None else y * self.gamma
        return (y if self.beta is None else y + self.beta).movedim(-1, self.axis)
