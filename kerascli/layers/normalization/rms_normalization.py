"""RMSNormalization: normalizes each sample to a root mean square of 1 along some axes (Zhang and Sennrich, 2019)."""

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import Axes, TensorSpec
from kerascli.layers.base import Example, Layer, WeightedModule, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.normalization.base import Epsilon, sizes_along
from kerascli.parts.initializers import Ones


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": [1, 3]}),
)
class RMSNormalization(Layer):
    """RMS normalization: divides each sample by its root mean square along `axis`, then scales it.

    output = scale * x / sqrt(mean(x^2) + epsilon); the mean is not subtracted. Input and output: (N, *). Paper: Zhang
    and Sennrich, 2019.
    """

    axis: Axes = -1
    epsilon: Epsilon = 1e-6

    def build(self, x: TensorSpec) -> nn.Module:
        axes = positive_axes(self.axis, x)
        return RMSNormalizationModule(axes, sizes_along(axes, x), self.epsilon)


class RMSNormalizationModule(WeightedModule):
    scale: Tensor

    def __init__(self, axes: tuple[int, ...], sizes: tuple[int, ...], epsilon: float) -> None:
        super().__init__()
        self.axes = axes
        self.sizes = sizes
        self.epsilon = epsilon
        self.add_weight("scale", sizes, initializer=Ones())

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = tuple(range(x.ndim - len(self.axes), x.ndim))
        wide = x.movedim(self.axes, last).to(self.scale.dtype)  # in half precision the squares would overflow
        y = F.rms_norm(wide, self.sizes, self.scale, self.epsilon)
        return y.movedim(last, self.axes).to(x.dtype)
