"""SpatialDropout1D, SpatialDropout2D, SpatialDropout3D: dropout of whole channels (Tompson et al., 2015)."""

from typing import ClassVar

from torch import nn

from kerascli.foundation.shapes import DataFormat, Fraction, Seed, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import spatial_shape
from kerascli.layers.regularization.dropout import dropout
from kerascli.preprocessing.function import InTraining


@layer(Example(input=(5, 8), output=(5, 8), config={"rate": 0.2}), name="spatial_dropout_1d")
class SpatialDropout1D(Layer):
    """Spatial dropout of sequences: in training drops whole channels, the same at all steps.

    Input and output: (N, T, C). Paper: Tompson et al., 2015.
    """

    mask = "pass"

    rate: Fraction
    """Fraction of the channels that is dropped in training."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 1, "channels_last")
        return InTraining(dropout, self.rate, (None, 1, None), self.seed)


class SpatialDropout(Layer):
    """Base class of spatial_dropout_2d and spatial_dropout_3d, whose channels can be first or last."""

    mask = "pass"
    rank: ClassVar[int]

    rate: Fraction
    """Fraction of the channels that is dropped in training."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, self.rank, self.data_format)
        together = (1,) * self.rank
        noise = (None, *together, None) if self.data_format == "channels_last" else (None, None, *together)
        return InTraining(dropout, self.rate, noise, self.seed)


@layer(
    Example(input=(4, 4, 3), output=(4, 4, 3), config={"rate": 0.2}),
    Example(input=(3, 4, 4), output=(3, 4, 4), config={"rate": 0.2, "data_format": "channels_first"}),
    name="spatial_dropout_2d",
)
class SpatialDropout2D(SpatialDropout):
    """Spatial dropout of images: in training drops whole channels.

    Input and output: (N, H, W, C), or (N, C, H, W) with `data_format: channels_first`. Paper: Tompson et al., 2015.
    """

    rank = 2


@layer(
    Example(input=(4, 4, 4, 3), output=(4, 4, 4, 3), config={"rate": 0.2}),
    Example(input=(3, 4, 4, 4), output=(3, 4, 4, 4), config={"rate": 0.2, "data_format": "channels_first"}),
    name="spatial_dropout_3d",
)
class SpatialDropout3D(SpatialDropout):
    """Spatial dropout of volumes: in training drops whole channels.

    Input and output: (N, D, H, W, C), or (N, C, D, H, W) with `data_format: channels_first`. Paper: Tompson et al.,
    2015.
    """

    rank = 3
