"""Flatten: joins all axes after the batch into one."""

from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.preprocessing.function import Function


@layer(
    Example(input=(28, 28, 1), output=(784,)),
    Example(input=(3, 2, 2), output=(12,), config={"data_format": "channels_first"}),
    Example(input=(), output=(1,)),
)
class Flatten(Layer):
    """Flattens all axes after the batch into one.

    Input: (N, *). Output: (N, product of the sizes). With `data_format: channels_first` the channels are moved to the
    end first, so that the values are in channels_last order.
    """

    takes_integers = True
    moves_values = True

    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(self._flattened)

    def _flattened(self, x: Tensor) -> Tensor:  # (N, *) -> (N, prod(*))
        if self.data_format == "channels_first" and x.ndim > 2:
            x = x.movedim(1, -1)
        return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
