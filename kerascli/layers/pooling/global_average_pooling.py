"""GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D: the mean value of each channel."""

import torch
from torch import Tensor, nn

from kerascli.layers.base import Example, layer
from kerascli.layers.geometry import spatial_shape
from kerascli.layers.pooling.base import GlobalPooling
from kerascli.shapes import TensorSpec


@layer(
    Example(input=(8, 3), output=(3,)),
    Example(input=(3, 8), output=(3, 1), config={"data_format": "channels_first", "keepdims": True}),
    aliases=("global_avg_pool_1d",),
)
class GlobalAveragePooling1D(GlobalPooling):
    """The mean value of each channel of a sequence; masked steps do not count."""

    rank = 1
    reduce = "mean"
    uses_mask = True

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 1, self.data_format)
        return GlobalAveragePooling1DModule(1 if self.data_format == "channels_last" else 2, self.keepdims)


class GlobalAveragePooling1DModule(nn.Module):
    def __init__(self, steps_axis: int, keepdims: bool) -> None:
        super().__init__()
        self.steps_axis = steps_axis
        self.keepdims = keepdims

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # (N, T, C), (N, T) -> (N, C)
        if mask is None:
            return x.mean(self.steps_axis, keepdim=self.keepdims)
        counts = mask.unsqueeze(3 - self.steps_axis)
        total = torch.where(counts, x, 0).sum(self.steps_axis, keepdim=self.keepdims)
        return total / counts.sum(self.steps_axis, keepdim=self.keepdims, dtype=x.dtype)


@layer(
    Example(input=(8, 8, 3), output=(3,)),
    Example(input=(3, 8, 8), output=(3, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
    aliases=("global_avg_pool_2d",),
)
class GlobalAveragePooling2D(GlobalPooling):
    """The mean value of each channel of an image."""

    rank = 2
    reduce = "mean"


@layer(
    Example(input=(4, 5, 6, 2), output=(2,)),
    Example(input=(2, 4, 5, 6), output=(2, 1, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
    aliases=("global_avg_pool_3d",),
)
class GlobalAveragePooling3D(GlobalPooling):
    """The mean value of each channel of a volume."""

    rank = 3
    reduce = "mean"
