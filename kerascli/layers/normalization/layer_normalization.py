"""LayerNormalization, RMSNormalization, UnitNormalization and GroupNormalization: each sample is normalized alone."""

from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import Axes, Axis, TensorSpec
from kerascli.layers.base import Example, Layer, WeightedModule, layer
from kerascli.layers.geometry import check_groups, positive_axes
from kerascli.layers.normalization.base import Epsilon, PenaltyArguments, ScaleArguments, ScaledModule, sizes_along
from kerascli.ops.networks import unit
from kerascli.parts.initializers import Ones
from kerascli.preprocessing.function import Function


class FirstArguments(Layer):
    """Mixin with the first arguments of `layer_normalization`, which in Keras come before `center` and `scale`."""

    axis: Axes = -1
    epsilon: Epsilon = 1e-3


@layer(Example(input=(8,), output=(8,)))
class LayerNormalization(PenaltyArguments, ScaleArguments, FirstArguments):
    """Layer normalization: normalizes each sample to mean 0 and variance 1 along `axis`, then scales and shifts it.

    output = gamma * (x - mean) / sqrt(variance + epsilon) + beta; gamma and beta have the sizes of the input along
    `axis`. Input and output: (N, *). Paper: Ba et al., 2016.
    """

    mask = "pass"

    rms_scaling: bool = False
    """Keras's older variant: gamma * x / sqrt(variance + epsilon), not centered, no beta; prefer rms_normalization."""

    def build(self, x: TensorSpec) -> nn.Module:
        axes = positive_axes(self.axis, x)
        return LayerNormalizationModule(self, axes, sizes_along(axes, x))


class LayerNormalizationModule(ScaledModule):
    def __init__(self, settings: LayerNormalization, axes: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        rms = settings.rms_scaling  # with gamma and without beta, whatever `scale` and `center` are
        super().__init__(settings.model_copy(update={"scale": True, "center": False}) if rms else settings, sizes)
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = tuple(range(x.ndim - len(self.axes), x.ndim))
        x = x.movedim(self.axes, last)
        if self.settings.rms_scaling:
            assert self.gamma is not None
            factor = torch.rsqrt(x.var(last, correction=0, keepdim=True) + self.settings.epsilon)
            y = (x * factor * self.gamma).to(x.dtype)
        else:
            y = F.layer_norm(x, x.shape[last[0] :], self.gamma, self.beta, self.settings.epsilon)
        return y.movedim(last, self.axes)


@layer(Example(input=(8,), output=(8,)))
class RMSNormalization(Layer):
    """RMS normalization: divides each sample by its root mean square along `axis`, then scales it.

    output = scale * x / sqrt(mean(x^2) + epsilon); the mean is not subtracted. Input and output: (N, *). Paper: Zhang
    and Sennrich, 2019.
    """

    axis: Axes = -1
    epsilon: Epsilon = 1e-6

    def build(self, x: TensorSpec) -> nn.Module:
        axes = positive_axes(self.axis, x)
        return RMSNormalizationModule(self, axes, sizes_along(axes, x))


class RMSNormalizationModule(WeightedModule):
    scale: Tensor

    def __init__(self, settings: RMSNormalization, axes: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        super().__init__(settings)
        self.axes = axes
        self.add_weight("scale", sizes, initializer=Ones())

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = tuple(range(x.ndim - len(self.axes), x.ndim))
        wide = x.movedim(self.axes, last).to(self.scale.dtype)  # in half precision the squares would overflow
        y = F.rms_norm(wide, self.scale.shape, self.scale, self.settings.epsilon)
        return y.movedim(last, self.axes).to(x.dtype)


_EPSILON = 1e-12  # Keras's guard against a vector of zeros


@layer(Example(input=(8,), output=(8,)))
class UnitNormalization(Layer):
    """Unit normalization: divides each sample by its L2 norm along `axis`.

    Input and output: (N, *). Vectors of zeros stay zeros.
    """

    mask = "pass"

    axis: Axes = -1

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(unit, positive_axes(self.axis, x), _EPSILON)


def _check_groups(groups: int) -> int:
    if groups < 1 and groups != -1:
        raise ValueError(f"must be at least 1, or -1 for one group per channel, got {groups}")
    return groups


class GroupArguments(Layer):
    """Mixin with the first arguments of `group_normalization`, which in Keras come before `center` and `scale`."""

    groups: Annotated[int, AfterValidator(_check_groups)] = 32
    """Number of groups, which must divide the channels; -1: one group per channel (instance normalization)."""
    axis: Axis = -1
    epsilon: Epsilon = 1e-3


@layer(Example(input=(4, 4, 6), output=(4, 4, 6), config={"groups": 3}))
class GroupNormalization(PenaltyArguments, ScaleArguments, GroupArguments):
    """Group normalization: normalizes each group of a sample's channels, then scales and shifts each channel.

    Each group gets mean 0 and variance 1; `groups: 1` normalizes a sample as a whole. Input and output: (N, *), with
    the channels along `axis`. Paper: Wu and He, 2018.
    """

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        axes = positive_axes(self.axis, x)
        (channels,) = sizes_along(axes, x)
        groups = channels if self.groups == -1 else self.groups
        check_groups(groups, channels, x)
        return GroupNormalizationModule(self, axes[0], channels, groups)


class GroupNormalizationModule(ScaledModule):
    def __init__(self, settings: GroupNormalization, axis: int, channels: int, groups: int) -> None:
        super().__init__(settings, (channels,))
        self.axis = axis
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = x.movedim(self.axis, 1)
        if x.requires_grad and self.gamma is not None and self.beta is not None:
            y = torch.group_norm(last, self.groups, self.gamma, self.beta, self.settings.epsilon)  # also of one value
            return y.movedim(1, self.axis)
        # torch 2.13's backward fails, or crashes the process, if one of the three has no gradient
        y = torch.group_norm(last, self.groups, eps=self.settings.epsilon).movedim(1, -1)
        y = y if self.gamma is None else y * self.gamma
        return (y if self.beta is None else y + self.beta).movedim(-1, self.axis)
