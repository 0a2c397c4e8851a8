"""LayerNormalization: normalizes each sample along some axes (Ba et al., 2016)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import Axes, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.normalization.base import Epsilon, PenaltyArguments, ScaleArguments, ScaledModule, sizes_along


class FirstArguments(Layer):
    """Mixin with the first arguments of `layer_normalization`, which in Keras come before `center` and `scale`."""

    axis: Axes = -1
    epsilon: Epsilon = 1e-3


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": [2, 3], "center": False}),
    Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": 1}),
)
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
