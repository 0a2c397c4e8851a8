"""UnitNormalization: normalizes each sample to an L2 norm of 1 along some axes."""

from torch import Tensor, nn

from kerascli.foundation.shapes import Axes, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import positive_axes

_EPSILON = 1e-12  # Keras's guard against a vector of zeros


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": [1, 3]}),
)
class UnitNormalization(Layer):
    """Unit normalization: divides each sample by its L2 norm along `axis`.

    Input and output: (N, *). Vectors of zeros stay zeros.
    """

    mask = "pass"

    axis: Axes = -1

    def build(self, x: TensorSpec) -> nn.Module:
        return UnitNormalizationModule(positive_axes(self.axis, x))


class UnitNormalizationModule(nn.Module):
    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        return x * x.square().sum(self.axes, keepdim=True).rsqrt().clamp(max=1 / _EPSILON)
