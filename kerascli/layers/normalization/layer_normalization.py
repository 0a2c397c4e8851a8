"""LayerNormalization, RMSNormalization and UnitNormalization: each sample is normalized along some axes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import Axes, TensorSpec
from kerascli.layers.base import Example, Layer, WeightedModule, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.normalization.base import Epsilon, PenaltyArguments, ScaleArguments, ScaledModule, sizes_along
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
        self.rms_scaling = rms
        self.axes = axes
        self.sizes = sizes
        self.epsilon = settings.epsilon

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = tuple(range(x.ndim - len(self.axes), x.ndim))
        x = x.movedim(self.axes, last)
        if self.rms_scaling:
            assert self.gamma is not None
            factor = torch.rsqrt(x.var(last, correction=0, keepdim=True) + self.epsilon)
            y = (x * factor * self.gamma).to(x.dtype)
        else:
            y = F.layer_norm(x, self.sizes, self.gamma, self.beta, self.epsilon)
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
        return RMSNormalizationModule(axes, sizes_along(axes, x), self.epsilon)


class RMSNormalizationModule(WeightedModule):
    scale: Tensor

    def __init__(self, axes: tuple[int, ...], sizes: tuple[int, ...], epsilon: float) -> None:
        super().__init__()
        self.axes = axes
        self.sizes = sizes
        self.epsilon = epsilon
        self.add_weight("scale", sizes, initializer=Ones())

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = tuple(range(x.ndim - len(self.axes), x.ndim))
        wide = x.movedim(self.axes, last).to(self.scale.dtype)  # in half precision the squares would overflow
        y = F.rms_norm(wide, self.sizes, self.scale, self.epsilon)
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


def unit(x: Tensor, axes: int | tuple[int, ...], least: float) -> Tensor:
    """Divide `x` by its L2 norm along axes, or by `least` where the norm is below it."""
    return x * x.square().sum(axes, keepdim=True).rsqrt().clamp(max=1 / least)
