"""LocallyConnected1D, LocallyConnected2D: convolutions with unshared weights (Keras 2)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, Size1D, Size2D, TensorSpec
from kerascli.layers.base import Example, ShapeMismatch, WeightedModule, layer
from kerascli.layers.convolutional.convolution import FilterArguments
from kerascli.layers.geometry import Window, sizes_and_channels
from kerascli.layers.kernels import KernelAndBias, OutputArguments


class LocallyConnectedArguments(FilterArguments):
    """Mixin with a locally connected layer's first arguments, in Keras's order: those before `activation`."""

    padding: Literal["valid"] = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]
    """Padding: only valid (no padding) is possible, as in Keras with implementation 1."""
    data_format: DataFormat = "channels_last"


class LocallyConnected(KernelAndBias, OutputArguments, LocallyConnectedArguments):
    """Base class of locally_connected_1d and locally_connected_2d, which narrow the types of the sizes."""

    implementation: Literal[1] = 1
    """Only 1 is possible: separate weights per output position. Keras 2's others store them in other shapes."""

    def build(self, x: TensorSpec) -> nn.Module:
        sizes, channels = sizes_and_channels(x, self.rank, self.data_format)
        window = Window(self.kernel_size, self.strides, self.padding, (1,) * self.rank)
        window.check(sizes)
        lengths = [size for size in sizes if size is not None]
        if len(lengths) < self.rank:
            raise ShapeMismatch(f"needs known sizes, since it has weights for each output position, got {x}")
        return LocallyConnectedModule(self, window.output_sizes(tuple(lengths)), channels)


class LocallyConnectedModule(WeightedModule):
    """Module of a locally connected layer; each window is flattened to a vector in the order of Keras's kernel."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: LocallyConnected, places: tuple[int, ...], channels: int) -> None:
        super().__init__(settings)
        self.places = places
        self.channels_first = settings.data_format == "channels_first"
        fan_in = math.prod(settings.kernel_size) * channels
        self.add_weight_of("kernel", (math.prod(places), fan_in, settings.filters))
        self.add_weight_of("bias", (*places, settings.filters) if settings.use_bias else None)

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *places, filters), or channels first
        y = torch.bmm(self._patches(x), self.kernel).transpose(0, 1)  # (N, places, filters)
        y = y.reshape(-1, *self.places, self.kernel.shape[-1])
        y = y if self.bias is None else y + self.bias
        y = y.movedim(-1, 1) if self.channels_first else y
        return y if self.settings.activation is None else self.settings.activation(y)

    def _patches(self, x: Tensor) -> Tensor:
        """Return the windows of the input `x` as a tensor (output positions, N, values per window)."""
        rank, first = self.settings.rank, 2 if self.channels_first else 1
        for axis in range(rank):
            x = x.unfold(first + axis, self.settings.kernel_size[axis], self.settings.strides[axis])
        sites = list(range(first, first + rank))
        inside = list(range(rank + 2, 2 * rank + 2))
        order = [1, *inside] if self.channels_first else [*inside, rank + 1]
        return x.permute(*sites, 0, *order).flatten(rank + 1).flatten(0, rank - 1)


@layer(Example(input=(10, 4), output=(8, 6), config={"filters": 6, "kernel_size": 3}))
class LocallyConnected1D(LocallyConnected):
    """Locally connected 1D layer: `conv_1d` with separate weights for each output step.

    Input: (N, T, C). Output: (N, T', filters). With `data_format: channels_first`: (N, C, T) and (N, filters, T'). T
    must be known.
    """

    rank = 1

    kernel_size: Size1D
    strides: Size1D = (1,)


@layer(Example(input=(6, 5, 3), output=(4, 3, 4), config={"filters": 4, "kernel_size": 3}))
class LocallyConnected2D(LocallyConnected):
    """Locally connected 2D layer: `conv_2d` with separate weights for each output position.

    Input: (N, H, W, C). Output: (N, H', W', filters). With `data_format: channels_first`: (N, C, H, W) and (N, filters,
    H', W'). H and W must be known.
    """

    rank = 2

    kernel_size: Size2D
    strides: Size2D = (1, 1)
