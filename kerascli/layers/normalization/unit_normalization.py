"""UnitNormalization: normalizes each sample to an L2 norm of 1 along some axes."""

from torch import Tensor, nn

from kerascli.foundation.shapes import Axes, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import positive_axes
from kerascli.preprocessing.function import Function

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
        return Function(unit, positive_axes(self.axis, x), _EPSILON)


def unit(x: Tensor, axes: int | tuple[int, ...], least: float) -> Tensor:
    """Divide `x` by its L2 norm along axes, or by `least` where the norm is below it."""
    return x * x.square().sum(axes, keepdim=True).rsqrt().clamp(max=1 / least)
