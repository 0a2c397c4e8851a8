"""AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D: the mean of each of so many windows."""

from torch import Tensor
from torch.nn import functional as F

from kerascli.layers.base import Example, layer
from kerascli.layers.pooling.base import AdaptivePooling, AdaptivePoolingModule
from kerascli.shapes import Size1D, Size2D, Size3D


class AdaptiveAveragePoolingModule(AdaptivePoolingModule):
    def pool(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, C, *output_size)
        pool = F.adaptive_avg_pool2d if x.ndim == 4 else F.adaptive_avg_pool3d
        return pool(x, self.output_size)


@layer(
    Example(input=(8, 3), output=(4, 3), config={"output_size": 4}),
    Example(input=(3, 7), output=(3, 5), config={"output_size": 5, "data_format": "channels_first"}),
)
class AdaptiveAveragePooling1D(AdaptivePooling):
    """The mean of each of `output_size` windows that cover a sequence."""

    rank = 1
    module = AdaptiveAveragePoolingModule

    output_size: Size1D


@layer(
    Example(input=(9, 8, 3), output=(4, 4, 3), config={"output_size": 4}),
    Example(input=(3, 7, 8), output=(3, 5, 2), config={"output_size": [5, 2], "data_format": "channels_first"}),
)
class AdaptiveAveragePooling2D(AdaptivePooling):
    """The mean of each of `output_size` windows that cover an image."""

    rank = 2
    module = AdaptiveAveragePoolingModule

    output_size: Size2D


@layer(
    Example(input=(4, 5, 6, 2), output=(2, 2, 2, 2), config={"output_size": 2}),
    Example(
        input=(2, 4, 5, 6), output=(2, 3, 2, 4), config={"output_size": [3, 2, 4], "data_format": "channels_first"}
    ),
)
class AdaptiveAveragePooling3D(AdaptivePooling):
    """The mean of each of `output_size` windows that cover a volume."""

    rank = 3
    module = AdaptiveAveragePoolingModule

    output_size: Size3D
