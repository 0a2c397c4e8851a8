"""Base class of the torch modules of pooling layers that keep the spatial axes."""

from abc import abstractmethod

from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat
from kerascli.layers.geometry import from_channels_first, to_channels_first


class PoolingModule(nn.Module):
    """Base class of pooling modules; sequences run as images of height 1, for torch's channels_last kernels."""

    def __init__(self, rank: int, data_format: DataFormat) -> None:
        super().__init__()
        self.is_1d = rank == 1
        self.data_format: DataFormat = data_format

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *sizes, C), or channels first
        x = to_channels_first(x, self.data_format)
        y = self.pool(x.unsqueeze(2)).squeeze(2) if self.is_1d else self.pool(x)
        return from_channels_first(y, self.data_format)

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """Pool a tensor (N, C, *sizes) with at least two spatial axes."""
