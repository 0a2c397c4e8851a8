"""AdaptiveAveragePooling1D, AdaptiveMaxPooling1D ... 3D: pooling to a given output size."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, Size1D, Size2D, Size3D, Sizes, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import spatial_shape, with_channels_first
from kerascli.preprocessing.function import Function

Pools = tuple[Callable[..., Tensor], Callable[..., Tensor]]
"""Type of a pair of torch's pooling functions, one for images and one for volumes."""


class AdaptivePooling(Layer):
    """Base class of adaptive pooling layers: the sizes of their windows follow from a given output size."""

    rank: ClassVar[int]
    pools: ClassVar[Pools]

    output_size: Sizes
    """Output size along each spatial axis; one integer: the same for all."""
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, self.rank, self.data_format)
        size = (1, *self.output_size) if self.rank == 1 else self.output_size
        return Function(with_channels_first, lambda x: self.pools[x.ndim - 4](x, size), self.rank, self.data_format)


class AdaptivePooling1D(AdaptivePooling):
    """Base class of adaptive pooling layers over sequences."""

    rank = 1
    examples = (Example(input=(8, 3), output=(4, 3), config={"output_size": 4}),)

    output_size: Size1D


class AdaptivePooling2D(AdaptivePooling):
    """Base class of adaptive pooling layers over images."""

    rank = 2
    examples = (Example(input=(9, 8, 3), output=(4, 4, 3), config={"output_size": 4}),)

    output_size: Size2D


class AdaptivePooling3D(AdaptivePooling):
    """Base class of adaptive pooling layers over volumes."""

    rank = 3
    examples = (Example(input=(4, 5, 6, 2), output=(2, 2, 2, 2), config={"output_size": 2}),)

    output_size: Size3D


class AdaptiveAveragePooling(AdaptivePooling):
    """Base class of adaptive pooling layers that average."""

    pools = (F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)


class AdaptiveMaxPooling(AdaptivePooling):
    """Base class of adaptive pooling layers that take the maximum."""

    pools = (F.adaptive_max_pool2d, F.adaptive_max_pool3d)


@layer()
class AdaptiveAveragePooling1D(AdaptivePooling1D, AdaptiveAveragePooling):
    """Adaptive average pooling of sequences: averages over `output_size` windows that cover the steps.

    Input: (N, T, C). Output: (N, output_size, C). With `data_format: channels_first`: (N, C, T) and (N, C,
    output_size).
    """


@layer()
class AdaptiveAveragePooling2D(AdaptivePooling2D, AdaptiveAveragePooling):
    """Adaptive average pooling of images: averages over windows that cover the image, to a given output size.

    Input: (N, H, W, C). Output: (N, *output_size, C). With `data_format: channels_first` the channels are axis 1.
    """


@layer()
class AdaptiveAveragePooling3D(AdaptivePooling3D, AdaptiveAveragePooling):
    """Adaptive average pooling of volumes: averages over windows that cover the volume, to a given output size.

    Input: (N, D, H, W, C). Output: (N, *output_size, C). With `data_format: channels_first` the channels are axis 1.
    """


@layer()
class AdaptiveMaxPooling1D(AdaptivePooling1D, AdaptiveMaxPooling):
    """Adaptive max pooling of sequences: maxima over `output_size` windows that cover the steps.

    Input: (N, T, C). Output: (N, output_size, C). With `data_format: channels_first`: (N, C, T) and (N, C,
    output_size).
    """


@layer()
class AdaptiveMaxPooling2D(AdaptivePooling2D, AdaptiveMaxPooling):
    """Adaptive max pooling of images: maxima over windows that cover the image, to a given output size.

    Input: (N, H, W, C). Output: (N, *output_size, C). With `data_format: channels_first` the channels are axis 1.
    """


@layer()
class AdaptiveMaxPooling3D(AdaptivePooling3D, AdaptiveMaxPooling):
    """Adaptive max pooling of volumes: maxima over windows that cover the volume, to a given output size.

    Input: (N, D, H, W, C). Output: (N, *output_size, C). With `data_format: channels_first` the channels are axis 1.
    """
