"""GlobalAveragePooling1D, GlobalMaxPooling1D ... 3D: mean or maximum of each channel."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import spatial_shape
from kerascli.preprocessing.function import Function


class GlobalPooling(Layer):
    """Base class of layers that pool over all spatial axes."""

    rank: ClassVar[int]
    reduce: ClassVar[Callable[..., Tensor]]

    data_format: DataFormat = "channels_last"
    keepdims: bool = False
    """Keep the reduced axes, with size 1."""

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, self.rank, self.data_format)
        return Function(self._pooled)

    def _pooled(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # (N, *sizes, C) -> (N, C), or channels first
        axis = 1 if self.data_format == "channels_last" else 2
        if mask is None:
            return type(self).reduce(x, tuple(range(axis, axis + self.rank)), keepdim=self.keepdims)
        # only the mean of sequences takes a mask, (N, T)
        counts = mask.unsqueeze(3 - axis)
        total = torch.where(counts, x, 0).sum(axis, keepdim=self.keepdims)
        return total / counts.sum(axis, keepdim=self.keepdims, dtype=x.dtype)


class GlobalPooling1D(GlobalPooling):
    """Base class of layers that pool over all steps of sequences."""

    rank = 1
    examples = (Example(input=(8, 3), output=(3,)),)


class GlobalPooling2D(GlobalPooling):
    """Base class of layers that pool over all positions of images."""

    rank = 2
    examples = (Example(input=(8, 8, 3), output=(3,)),)


class GlobalPooling3D(GlobalPooling):
    """Base class of layers that pool over all positions of volumes."""

    rank = 3
    examples = (Example(input=(4, 5, 6, 2), output=(2,)),)


class GlobalAveragePooling(GlobalPooling):
    """Base class of layers that average over all spatial axes."""

    reduce = torch.mean


class GlobalMaxPooling(GlobalPooling):
    """Base class of layers that take the maximum over all spatial axes."""

    reduce = torch.amax


@layer(aliases=("global_avg_pool_1d",))
class GlobalAveragePooling1D(GlobalPooling1D, GlobalAveragePooling):
    """Global average pooling of sequences: the mean of each channel over the steps; masked steps are ignored.

    Input: (N, T, C). Output: (N, C), or (N, 1, C) with `keepdims`. With `data_format: channels_first` the input is (N,
    C, T).
    """

    uses_mask = True


@layer(aliases=("global_avg_pool_2d",))
class GlobalAveragePooling2D(GlobalPooling2D, GlobalAveragePooling):
    """Global average pooling of images: the mean of each channel over all pixels.

    Input: (N, H, W, C). Output: (N, C), or (N, 1, 1, C) with `keepdims`. With `data_format: channels_first` the input
    is (N, C, H, W).
    """


@layer(aliases=("global_avg_pool_3d",))
class GlobalAveragePooling3D(GlobalPooling3D, GlobalAveragePooling):
    """Global average pooling of volumes: the mean of each channel over all voxels.

    Input: (N, D, H, W, C). Output: (N, C), or (N, 1, 1, 1, C) with `keepdims`. With `data_format: channels_first` the
    input is (N, C, D, H, W).
    """


@layer(aliases=("global_max_pool_1d",))
class GlobalMaxPooling1D(GlobalPooling1D, GlobalMaxPooling):
    """Global max pooling of sequences: the maximum of each channel over the steps.

    Input: (N, T, C). Output: (N, C), or (N, 1, C) with `keepdims`. With `data_format: channels_first` the input is (N,
    C, T).
    """


@layer(aliases=("global_max_pool_2d",))
class GlobalMaxPooling2D(GlobalPooling2D, GlobalMaxPooling):
    """Global max pooling of images: the maximum of each channel over all pixels.

    Input: (N, H, W, C). Output: (N, C), or (N, 1, 1, C) with `keepdims`. With `data_format: channels_first` the input
    is (N, C, H, W).
    """


@layer(aliases=("global_max_pool_3d",))
class GlobalMaxPooling3D(GlobalPooling3D, GlobalMaxPooling):
    """Global max pooling of volumes: the maximum of each channel over all voxels.

    Input: (N, D, H, W, C). Output: (N, C), or (N, 1, 1, 1, C) with `keepdims`. With `data_format: channels_first` the
    input is (N, C, D, H, W).
    """
