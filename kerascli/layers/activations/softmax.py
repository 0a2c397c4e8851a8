"""Softmax: the softmax function as a layer, which gives masked positions probability 0."""

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import Axes, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import broadcast_mask, positive_axes
from kerascli.preprocessing.function import Function


@layer(Example(input=(8,), output=(8,)), aliases=("activation_softmax",))
class Softmax(Layer):
    """Softmax along an axis, or over several together; masked positions get probability 0.

    Input and output: (N, *).
    """

    mask = "pass"
    uses_mask = True

    axis: Axes = -1

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(softmax, positive_axes(self.axis, x))


def softmax(x: Tensor, axes: tuple[int, ...], mask: Tensor | None = None) -> Tensor:
    """Return the softmax over `axes`; `mask` has the first axes of `x`, and positions where it is False get 0."""
    if mask is not None:
        mask = broadcast_mask(mask, x)
        x = torch.where(mask, x, -3e4 if x.dtype == torch.float16 else -1e9)
    y = torch.softmax(x, axes[0]) if len(axes) == 1 else torch.exp(x - torch.logsumexp(x, axes, keepdim=True))
    return y if mask is None else torch.where(mask, y, 0.0)  # all masked: zeros, not a uniform distribution
