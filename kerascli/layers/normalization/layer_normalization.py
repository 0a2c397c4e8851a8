"""LayerNormalization: each sample at mean 0 and variance 1 along some axes (Ba et al., 2016)."""

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.layers.geometry import Axes, positive_axes
from kerascli.layers.normalization.base import ScaledModule
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import Ones, Zeros
from kerascli.shapes import PositiveFloat, TensorSpec


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": [2, 3], "center": False}),
    Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": 1}),
)
class LayerNormalization(Layer):
    """Brings each sample to mean 0 and variance 1 along `axis`, then scales and shifts it."""

    mask = "pass"

    axis: Axes = -1
    epsilon: PositiveFloat = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerField = Zeros()
    gamma_initializer: InitializerField = Ones()
    beta_regularizer: RegularizerField | None = None
    gamma_regularizer: RegularizerField | None = None
    beta_constraint: ConstraintField | None = None
    gamma_constraint: ConstraintField | None = None

    def build(self, x: TensorSpec) -> nn.Module:
        axes = positive_axes(self.axis, x)
        sizes = tuple(size for axis in axes if (size := x.shape[axis - 1]) is not None)
        if len(sizes) != len(axes):
            raise ShapeMismatch(f"needs known sizes along axis {self.axis}, got {x}", argument="axis")
        return LayerNormalizationModule(self, axes, sizes)


class LayerNormalizationModule(ScaledModule):
    def __init__(self, settings: LayerNormalization, axes: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        super().__init__(settings, sizes)
        self.axes = axes
        self.sizes = sizes
        self.epsilon = settings.epsilon

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last = tuple(range(x.ndim - len(self.axes), x.ndim))
        y = F.layer_norm(x.movedim(self.axes, last), self.sizes, self.gamma, self.beta, self.epsilon)
        return y.movedim(last, self.axes)
